"""Every awkward size, over every protection, comes back exact."""
from stage import CHUNK, SLOW, STEADY, Stage, end, expect

HUGE = (20 if SLOW else 100) * 1_000_000
CODES = {'auto': 4, '2+1': 2, 'none': 1}    # Protection -> data chunks a block


def sizes(k):
    block = k * CHUNK
    return sorted({0, 1, 187, 188, CHUNK - 1, CHUNK, CHUNK + 1, block - 1,
                   block, block + 1, 3 * block - 7, HUGE})


with Stage(patience=STEADY) as stage:
    for code, k in CODES.items():
        with stage.case(f'invariant 2: files of every awkward size come back '
                        f'exact, protected {code}'):
            for size in sizes(k):
                name = f'{code.replace("+", "-")}.{size}'
                path = stage.file(name, size, seed=size + k)
                stage.put(path, name, '--protect', code)
                stage.expect_same(name, path)
                path.unlink()
    with stage.case('a chunk size set by hand is the size of every chunk'):
        path = stage.file('by-hand', 3_000_000)
        stage.put(path, 'by-hand', '--chunk', '64KiB')
        lengths = [c['length'] for c in
                   stage.stat('by-hand', '--chunks')['chunks']
                   if not c['parity'] and c['length']]
        expect(set(lengths[:-4]) == {64 * 1024}, f'{lengths}')
        stage.expect_same('by-hand', path)
    with stage.case('what goes down a pipe is what goes to a file'):
        piped = stage.get('by-hand').out
        expect(piped == path.read_bytes(), f'{len(piped)} other bytes')
end()
