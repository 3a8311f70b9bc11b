"""The one error of this library."""
from .v1.status_pb2 import Retry, Status

#   What may be done about what a client finds out itself.
RETRIES = {'unreachable': 'later', 'late': 'later', 'corrupt': 'elsewhere'}


class RillError(Exception):
    """Something was refused or did not come.

    status  the word of rill.v1.Status in small letters; 'unlisted': newer
    retry   never, later, elsewhere or reopen
    text    for people
    offset  of offset, range, gone and future: the nearest that is right
    node    of taken: who has it
    """

    def __init__(self, status, text='', retry=None, offset=0, node=''):
        super().__init__(f'{status}: {text}' if text else status)
        self.status, self.text = status, text
        self.retry = retry or RETRIES.get(status, 'never')
        self.offset, self.node = offset, node


def status_word(number):
    """The word of a status as it came."""
    if number not in Status.values():
        return 'unlisted'
    return Status.Name(number).removeprefix('STATUS_').lower()


def refusal(refused):
    """The error that a Refused says."""
    if refused.status == Status.STATUS_OK_UNSPECIFIED:
        return RillError('malformed', 'a refusal came that says OK')
    retry = (Retry.Name(refused.retry).removeprefix('RETRY_').lower()
             if refused.retry in Retry.values() else 'never')
    return RillError(status_word(refused.status), refused.text,
                     retry.removesuffix('_unspecified'), refused.offset,
                     refused.node)
