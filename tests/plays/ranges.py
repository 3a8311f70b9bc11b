"""`rill get --range FROM-TO`: any part of a stream. TO is not included."""
import random

from stage import CHUNK, STEADY, Stage, end, expect

SIZE = 5_000_011

with Stage(patience=STEADY) as stage:
    path = stage.file('clip', SIZE)
    whole = path.read_bytes()
    stage.put(path)
    with stage.case('invariant 2: any range is those bytes and no others'):
        chance = random.Random(7)
        edges = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK, SIZE - 1, SIZE]
        pairs = [(a, b) for a in edges for b in edges if a < b]
        pairs += [sorted(chance.sample(range(SIZE), 2)) for _ in range(10)]
        for a, b in pairs:
            got = stage.get('clip', '--range', f'{a}-{b}').out
            expect(got == whole[a:b], f'{a}-{b}: {len(got)} bytes')
    with stage.case('either end of a range may be left out'):
        expect(stage.get('clip', '--range', f'{SIZE - 10}-').out
               == whole[-10:], 'the last ten')
        expect(stage.get('clip', '--range=-10').out == whole[:10],
               'the first ten')
    with stage.case('a range outside the stream is refused and told its size'):
        stage.rill('get', 'clip', '-o', '-', '--range',
                   f'{SIZE + 1}-{SIZE + 2}').expect_error(65, str(SIZE))
        stage.rill('get', 'clip', '-o', '-', '--range',
                   f'0-{SIZE + 1}').expect_error(65, str(SIZE))
    with stage.case('what is not a range is a mistake in the command'):
        for text in ('5', '7-3', 'a-b', '-1-4', '1-2-3', '-'):
            stage.rill('get', 'clip', '-o', '-', f'--range={text}') \
                 .expect_error(64, 'range')
end()
