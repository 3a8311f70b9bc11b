"""The catalogue grows with changes of the cluster, not with chunks (B7)."""
from stage import SLOW, STEADY, Stage, end, expect, wait_for

CHUNKS = 4_000 if SLOW else 50_000
SMALL = 4096                            # The least size of a chunk
MOST = 64 * 1024

with Stage(patience=STEADY) as stage:
    with stage.case(f'{CHUNKS} chunks over an unchanged queue add less than '
                    '64 KiB to the catalogue'):
        stage.put(stage.file('first', 100_000))
        before = stage.status()

        def added():
            now, was = (sum(w['chunks'] for w in told['workers'])
                        for told in (stage.status(), before))
            return now - was >= CHUNKS * 1.5
        path = stage.file('many', CHUNKS * SMALL)
        stage.put(path, 'many', '--chunk', str(SMALL))
        wait_for(added, f'{CHUNKS} chunks and their parity are kept')
        grown = stage.status()['catalogue_bytes'] - before['catalogue_bytes']
        expect(grown < MOST, f'{grown} bytes for {CHUNKS} chunks')
        stage.expect_same('many', path)
end()
