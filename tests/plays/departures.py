"""Workers that die or hang while a file is stored."""
import math
import signal

from stage import Relay, Stage, end, expect, stored, wait_for

SIZE = 40_000_000


def store_through(stage, name, trouble):
    """Put a file; when half of it is under way, make trouble; it must end."""
    path = stage.file(name, SIZE)
    with Relay(stage, up=SIZE // 2) as relay:
        process = stage.begin('put', path, '--as', name, at=relay.at)
        wait_for(lambda: stored(stage, name) > 0, 'something is stored')
        trouble()
        relay.let(up=math.inf)
        process.communicate()
    expect(process.returncode == 0, f'put ended with {process.returncode}')
    stage.expect_same(name, path)
    path.unlink()


with Stage() as stage:
    with stage.case('invariant 1: a worker is killed under a put; the put ends '
                    'and comes back exact'):
        store_through(stage, 'killed', lambda: stage.kill('w2'))
    with stage.case('invariant 1: a worker hangs under a put; it leaves the '
                    'queue and the put ends and comes back exact'):
        store_through(stage, 'hung',
                      lambda: stage.signal('w4', signal.SIGSTOP))
        expect('w4' not in stage.live(), 'w4 hangs and is still in the queue')
        stage.signal('w4', signal.SIGCONT)
    with stage.case('a worker that comes back is used again'):
        stage.start('w2')
        stage.wait_live(*stage.names[1:])
        stage.put_wide(stage.file('after', 8_000_000))
end()
