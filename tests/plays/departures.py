"""Workers that die or hang while a file is stored."""
import signal

from stage import SLOW, Stage, end, expect, wait_for

SIZE = 40_000_000 if SLOW else 300_000_000


def stored(stage, name):
    done = stage.rill('stat', name, '--json')
    return done.json()['stored'] if done.code == 0 else 0


def store_through(stage, name, trouble):
    """Put a file; when some of it is stored, make trouble; it must end."""
    path = stage.file(name, SIZE)
    process = stage.begin('put', path, '--as', name)
    wait_for(lambda: stored(stage, name) > 0, 'something is stored')
    trouble()
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
        expect('w4' not in stage.live(), 'w4 hangs and is still dealt to')
        stage.signal('w4', signal.SIGCONT)
    with stage.case('a worker that comes back is used again'):
        stage.start('w2')
        stage.wait_live(*stage.names[1:])
        path = stage.file('after', 8_000_000)
        stage.put(path)
        homes = {c['worker'] for c in
                 stage.stat('after', '--chunks')['chunks']}
        expect(homes == set(stage.names[1:]), f'only {homes} are used')
end()
