"""The catalogue grows with changes of the cluster, not with chunks (B7)."""
from stage import SLOW, Stage, end, expect

CHUNKS = 4_000 if SLOW else 50_000
SMALL = 4096                            # The least size of a chunk
MOST = 64 * 1024

with Stage() as stage:
    with stage.case(f'{CHUNKS} chunks over an unchanged queue add less than '
                    '64 KiB to the catalogue'):
        stage.put(stage.file('first', 100_000))
        before = stage.status()
        path = stage.file('many', CHUNKS * SMALL)
        stage.put(path, 'many', '--chunk', str(SMALL))
        after = stage.status()
        new = sum(w['chunks'] for w in after['workers']) - sum(
            w['chunks'] for w in before['workers'])
        expect(new >= CHUNKS * 1.5, f'only {new} chunks were stored')
        grown = after['catalogue_bytes'] - before['catalogue_bytes']
        expect(grown < MOST, f'{grown} bytes for {new} chunks')
        stage.expect_same('many', path)
end()
