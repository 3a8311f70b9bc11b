"""A cluster without room: nothing that is stored is lost, who stores waits and
is told why, and goes on when somebody frees some."""
from stage import STEADY, Stage, end, expect, wait_for

SPACE = 64 * 1024 * 1024     # Of each of two workers; each byte lies on both.

with Stage(workers=2, space='64MiB', patience=STEADY,
           **{f'w{n}': 'segment: 8MiB' for n in (1, 2)}) as stage:
    small, half = stage.file('small', 5_000_000), stage.file('half', SPACE // 2)
    stage.put(small)
    stage.put(half)
    with stage.case('invariant 1: when all disks are full a put is held, and '
                    'told why; what is stored is there, exact'):
        big = stage.file('big', SPACE // 2 + 1)
        process = stage.begin('put', big, '--wait', '10min')
        told = wait_for(lambda: (s := stage.rill('stat', 'big', '--json')).code
                        == 0 and s.json()['state'] == 'held' and s.json(),
                        'it is held')
        expect(told['stored'] < big.stat().st_size, f'{told}')
        expect('space' in stage.rill('stat', 'big').text, 'it is not said why')
        wait_for(lambda: {w['state'] for w in stage.status()['workers']}
                 == {'full'}, 'both are full')
        expect(process.poll() is None, 'the put does not wait')
        stage.expect_same('small', small)
        stage.expect_same('half', half)
    with stage.case('invariant 19: when something is removed it goes on by '
                    'itself, and is whole'):
        stage.rill('rm', 'half').expect(0)
        _, said = process.communicate()
        expect(process.returncode == 0 and b'space' in said, said.decode())
        stage.expect_same('big', big)
        stage.expect_same('small', small)
end()
