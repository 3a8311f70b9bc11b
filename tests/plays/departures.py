"""Workers that die or hang, whole or one thread of them, while a file is
stored."""
import contextlib
import ctypes
import math
import os
import pathlib
import signal

from stage import SLOW, Relay, Stage, end, expect, stored, wait_for

SIZE = 40_000_000
SEIZE, INTERRUPT, DETACH, ANY_CHILD = 0x4206, 0x4207, 17, 0x40000000
kernel = ctypes.CDLL(None, use_errno=True)


def trace(request, thread):
    if kernel.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), 'ptrace')


@contextlib.contextmanager
def held(thread):
    """One thread stands still, its process goes on."""
    trace(SEIZE, thread)
    trace(INTERRUPT, thread)
    os.waitpid(thread, ANY_CHILD)
    try:
        yield
    finally:
        trace(DETACH, thread)


def threads(process):
    tasks = pathlib.Path(f'/proc/{process.pid}/task').iterdir()
    return sorted(int(task.name) for task in tasks)


def hold_each_thread(stage):
    """Put a file while a thread of a worker hangs: of another worker each
    time, since who left is not taken back at once."""
    path, gone = stage.file('thread', 8_000_000), set()
    count = len(threads(stage.processes['w1']))
    for n in range(count):
        name, worker = f'thread-{n}', ('w1', 'w3', 'w5', 'w6')[n % 4]
        with held(threads(stage.processes[worker])[n]):
            stage.put(path, name)
            stage.expect_same(name, path)
            gone |= {worker} - stage.live()
    expect(len(gone) >= 2, f'only {gone} were missed: nobody was held')


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
    if not SLOW:    # Who hangs is missed after ten times as long.
        with stage.case('invariant 1: whichever thread of a worker hangs, a put '
                        'ends and comes back exact'):
            hold_each_thread(stage)
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
