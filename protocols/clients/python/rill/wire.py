"""Messages as frames, and the bounds of what comes (WIRE.md, "A message")."""
import secrets

import crcmod.predefined
from google.protobuf.message import DecodeError

from .errors import RillError
from .v1.message_pb2 import Message

VERSION = 1
HEAD_BYTES = 64 * 1024
PAYLOAD_BYTES = 4 * 1024 * 1024 + 4096
PIECE_BYTES = 1024 * 1024
WITH_PAYLOAD = {'piece', 'answer', 'store', 'fetched', 'flow'}

crc32c = crcmod.predefined.mkPredefinedCrcFun('crc-32c')


def number():
    """A random number that is not 0: a request, a trace or a token."""
    return secrets.randbits(63) | 1


def pack(request, payload=None, **body):
    """The frames that a DEALER sends; `body` is one body of Message."""
    message = Message(version=VERSION, request=request, trace=number(), **body)
    frames = [b'', message.SerializeToString()]
    return frames if payload is None else [*frames, payload]


class Unreadable(Exception):
    """What came is no message of ours; `request` 0: whose answer, is not
    known."""

    def __init__(self, status, text, request=0):
        super().__init__(text)
        self.request, self.error = request, RillError(status, text)


def unpack(frames):
    """The message and the payload, or None, that a DEALER heard."""
    if len(frames) < 2 or frames[0]:
        raise Unreadable('malformed', 'no empty frame came before a head')
    if len(frames[1]) > HEAD_BYTES:
        raise Unreadable('too_large', f'a head of {len(frames[1])} bytes came')
    try:
        message = Message.FromString(frames[1])
    except DecodeError:
        raise Unreadable('malformed', 'a head came that is no message') \
            from None
    body, payload = message.WhichOneof('body'), frames[2:]
    if message.version != VERSION:
        raise Unreadable('version', f'the node speaks version '
                         f'{message.version}, this is {VERSION}',
                         message.request)
    if body is None:
        raise Unreadable('kind', 'a message came that is not known here',
                         message.request)
    if len(payload) != (body in WITH_PAYLOAD):
        raise Unreadable('malformed', f'{len(payload)} frames came behind '
                         f'the head of "{body}"', message.request)
    if payload and len(payload[0]) > PAYLOAD_BYTES:
        raise Unreadable('too_large', f'a payload of {len(payload[0])} bytes '
                         'came', message.request)
    return message, payload[0] if payload else None


def check_chunk(header, payload, stream):
    """The payload is what the header says, of this stream."""
    if header.stream != stream or header.slot >= header.k:
        raise RillError('corrupt', 'a chunk came that was not asked for')
    if header.length != len(payload) or crc32c(payload) != header.payload_crc:
        raise RillError('corrupt', 'a chunk came that is not what was written')
