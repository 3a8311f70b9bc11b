"""Whatever two of six workers are gone, what is settled comes back."""
import itertools

from stage import Stage, end, expect, wait_for

SIZE = 9_000_001


def readable(stage):
    """Workers whose chunks can be read: damped ones too."""
    return {w['name'] for w in stage.status()['workers']
            if w['state'] not in ('away', 'joining')}


with Stage() as stage:
    path = stage.file('clip', SIZE)
    stage.put_wide(path)
    with stage.case('invariant 1: any two of six workers are gone (15 pairs), '
                    'the settled stream comes back exact'):
        for pair in itertools.combinations(stage.names[1:], 2):
            stage.kill(*pair)
            stage.expect_same('clip', path)
            stage.start(*pair)
            wait_for(lambda: readable(stage) == set(stage.names[1:]),
                     f'{pair} are back')
    with stage.case('invariant 1: with three of six gone and nothing in '
                    'memory there is an error in time, and no wrong byte'):
        stage.kill('w1', 'w2', 'w3', 'origin')
        stage.start('origin')
        done = stage.rill('get', 'clip', '-o', '-')
        expect(done.code in (69, 74, 75), f'exit {done.code}: {done.err}')
        expect(path.read_bytes().startswith(done.out), 'other bytes came')
        stage.start('w1', 'w2', 'w3')
        wait_for(lambda: readable(stage) == set(stage.names[1:]),
                 'all are back')
        stage.expect_same('clip', path)
end()
