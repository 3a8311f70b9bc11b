"""What a source began and did not finish goes on where it was stored."""
from stage import STEADY, Relay, Stage, end, expect, stored, wait_for

SIZE = 100_000_000
HALF = SIZE // 2


def put_half(stage, path, name):
    """A put that is killed when a part is stored and no more than half of it
    can be."""
    with Relay(stage, up=HALF) as relay:
        process = stage.begin('put', path, '--as', name, at=relay.at)
        wait_for(lambda: stored(stage, name) > SIZE / 10, 'a tenth is stored')
        process.kill()
        process.wait()


with Stage(patience=STEADY) as stage:
    path = stage.file('clip', SIZE)
    with stage.case('invariants 3 and 4: a put that was killed goes on where '
                    'it was stored, and the file is whole'):
        put_half(stage, path, 'clip')
        told = stage.stat('clip')
        expect(not told['sealed'], 'a put that was killed is sealed')
        stage.put(path)
        stage.expect_same('clip', path)
        received = stage.status()['received_bytes']
        expect(received <= HALF + SIZE - told['stored'],
               f'{received} bytes were sent, {told["stored"]} were stored')
        expect(not stage.stat('clip')['holes'], 'a hole was made')
    with stage.case('a put of other bytes does not go on with it'):
        put_half(stage, path, 'other')
        other = stage.file('other', SIZE // 2, seed=2)
        stage.rill('put', other, '--as', 'other').expect_error(65)
end()
