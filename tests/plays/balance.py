"""Chunks and bytes lie level over the workers, whatever the files' sizes."""
import concurrent.futures
import math
import random

from stage import SLOW, STEADY, Stage, end, wait_for

LEVEL = 0.001                           # (most - least) / mean
FILES, MOST = (40, 5_000_000) if SLOW else (300, 50_000_000)


def spread(stage):
    kept = [w['bytes'] for w in stage.status()['workers']]
    return (max(kept) - min(kept)) * len(kept) / sum(kept), kept


def expect_level(stage):
    """A worker's own word, at most a keep-alive old, is the last one."""
    wait_for(lambda: spread(stage)[0] <= LEVEL, 'the workers are level')


with Stage(patience=STEADY) as stage:
    with stage.case('placement 2: the bytes of one file lie over six workers '
                    'within 0.1 %'):
        stage.put(stage.file('one', 63_000_001))
        expect_level(stage)
with Stage(patience=STEADY) as stage:
    with stage.case(f'placement 2: {FILES} files of 1 byte to '
                    f'{MOST // 1_000_000} MB lie over six workers within '
                    '0.1 %'):
        chance = random.Random(3)
        sizes = [1, MOST] + [int(math.exp(chance.uniform(0, math.log(MOST))))
                             for _ in range(FILES - 2)]
        def put(n):
            path = stage.file(f'f{n}', sizes[n], seed=n)
            stage.put(path)
            path.unlink()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(put, range(FILES)))
        expect_level(stage)
end()
