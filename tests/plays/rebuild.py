"""A catalogue that is lost, damaged or old is refused, and made again (R16)."""
import shutil

from stage import Stage, end, expect, wait_for

SIZE = 3_000_001


#   What a rebuilt stream must say as it did.
SAME = ('stream', 'kind', 'sealed', 'size', 'first', 'stored', 'settled',
        'protection', 'asked', 'extents', 'under_protected', 'holes')


def expect_alike(was, now):
    for key in SAME:
        expect(was[key] == now[key],
               f'{was["name"]}: {key} was {was[key]}, is {now[key]}')


def stored(stage, name):
    done = stage.rill('stat', name, '--json')
    return done.json()['stored'] if done.code == 0 else None


def tail(stage):
    """A stream that stays open: pushed and broken off; what was stored."""
    path = stage.file('tail', 700_000, seed=5)
    with stage.begin('push', 'tail', '-', '--buffer', '20ms') as push:
        push.stdin.write(path.read_bytes())
        push.stdin.flush()
        wait_for(lambda: stored(stage, 'tail') == path.stat().st_size,
                 'all of it is stored')
        push.kill()
    return path


with Stage() as stage:
    clip = stage.file('clip', SIZE)
    gone = stage.file('gone', 500_000, seed=2)
    stage.put(clip)
    stage.put(clip, 'narrow', '--protect', '1+1')
    stage.put(gone)
    stage.put(stage.file('empty', 0))
    stage.rill('rm', 'gone').expect(0)
    open_end = tail(stage)
    before = {name: stage.stat(name) for name in
              ('clip', 'narrow', 'empty', 'tail')}
    stage.kill('origin')
    catalogue = stage.home / 'origin' / 'catalogue'
    shutil.rmtree(catalogue)
    with stage.case('a catalogue that is gone is said, and what to do'):
        process = stage.spawn('origin')
        code = process.wait(30)
        said = stage.said('origin')
        expect(code == 65 and '--rebuild' in said, f'{code}: {said}')
    with stage.case('invariant 11: with --rebuild everything is there again'):
        stage.processes['origin'] = stage.spawn('origin', '--rebuild')
        stage.wait_said('origin', r'\bready\b.*\brole=')
        stage.wait_live(*stage.names[1:])
        stage.expect_same('clip', clip)
        stage.expect_same('narrow', clip)
        stage.expect_same('empty', stage.home / 'empty')
        done = stage.rill('get', 'tail', '-o', '-', '--range',
                          f'0-{open_end.stat().st_size}').expect(0)
        expect(done.out == open_end.read_bytes(), 'the open one')
        for name, was in before.items():
            expect_alike(was, stage.stat(name))
        stage.rill('stat', 'gone').expect(1)
end()
