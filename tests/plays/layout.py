"""What `stat --chunks` tells of every chunk (S4)."""
import collections

from stage import CHUNK, STEADY, Stage, end, expect, wait_for

SIZE = 10_000_003

with Stage(patience=STEADY) as stage:
    path = stage.file('clip', SIZE)
    stage.put(path)
    told = stage.stat('clip', '--chunks')
    chunks = told['chunks']
    data = [c for c in chunks if not c['parity']]
    with stage.case('every byte of the stream is in one data chunk, in order'):
        at = 0
        for chunk in data:
            expect(chunk['offset'] == at or not chunk['length'],
                   f'{chunk}, {at} wanted')
            at += chunk['length']
        expect(at == SIZE, f'{at} bytes are told of {SIZE}')
        expect(all(c['length'] == CHUNK for c in data[:-4]),
               'chunks before the last block are not equal')
    with stage.case('invariant 5: the slots of a block lie on distinct '
                    'workers, two of six are parity'):
        blocks = collections.defaultdict(list)
        for chunk in chunks:
            blocks[chunk['epoch'], chunk['block']].append(chunk)
        for block in blocks.values():
            expect(len({c['worker'] for c in block}) == len(block) == 6,
                   f'{block}')
            expect(sum(c['parity'] for c in block) == 2, f'{block}')
    with stage.case('created never goes back within a stream'):
        times = [c['created_us'] for c in data]
        expect(times == sorted(times) and times[0] > 1e15, f'{times}')
    with stage.case('what the workers say they keep is what the layout says'):
        by_layout = collections.Counter(c['worker'] for c in chunks)
        wait_for(lambda: by_layout == {w['name']: w['chunks']
                                       for w in stage.status()['workers']},
                 f'the workers say that they keep {by_layout}')
    with stage.case('ls, stat and status tell of it in words, too'):
        expect('clip' in stage.rill('ls').expect(0).text, 'ls')
        expect(str(SIZE) in stage.rill('stat', 'clip').expect(0).text, 'stat')
        expect('w6' in stage.rill('status').expect(0).text, 'status')
        names = [s['name'] for s in stage.rill('ls', '--json').expect(0)
                 .json()['streams']]
        expect(names == ['clip'], f'{names}')
    with stage.case('rm: the name is free again, and unknown until then'):
        stage.rill('rm', 'clip').expect(0)
        stage.rill('get', 'clip', '-o', '-').expect_error(1, 'clip')
        stage.put(stage.file('clip', 100))
        stage.expect_same('clip', path)
end()
