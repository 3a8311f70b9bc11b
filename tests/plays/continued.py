"""What a source began and did not finish goes on where it was stored."""
from stage import SLOW, Stage, end, expect, wait_for

SIZE = 240_000_000 if SLOW else 400_000_000
CREDIT = 64 * 1024 * 1024


def stored(stage, name):
    done = stage.rill('stat', name, '--json')
    return done.json()['stored'] if done.code == 0 else 0


with Stage() as stage:
    path = stage.file('clip', SIZE)
    with stage.case('invariants 3 and 4: a put that was killed goes on where '
                    'it was stored, and the file is whole'):
        process = stage.begin('put', path, '--as', 'clip')
        wait_for(lambda: stored(stage, 'clip') > SIZE / 10, 'a tenth is stored')
        process.kill()
        process.wait()
        told = stage.stat('clip')
        expect(not told['sealed'], 'a put that was killed is sealed')
        expect(told['stored'] < SIZE, 'all of it was stored before the kill')
        stage.put(path)
        stage.expect_same('clip', path)
        received = stage.status()['received_bytes']
        expect(received <= SIZE + CREDIT, f'{received} bytes were sent')
        expect(not stage.stat('clip')['holes'], 'a hole was made')
    with stage.case('a put of other bytes does not go on with it'):
        process = stage.begin('put', path, '--as', 'other')
        wait_for(lambda: stored(stage, 'other') > 0, 'something is stored')
        process.kill()
        process.wait()
        other = stage.file('other', SIZE // 2, seed=2)
        stage.rill('put', other, '--as', 'other').expect_error(65)
end()
