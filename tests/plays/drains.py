"""SIGTERM drains: what a daemon holds is committed and told before it ends."""
from stage import STEADY, Stage, end, expect, stored, wait_for

with Stage(patience=STEADY) as stage:
    path = stage.file('clip', 7_000_001)
    stage.put(path)
    with stage.case('invariant 1: every node stops and starts, and the stream '
                    'is there, exact'):
        for name in list(stage.names):
            stage.stop(name)
        stage.start(*stage.names)
        stage.wait_live(*stage.names[1:])
        stage.expect_same('clip', path)
        expect(stage.stat('clip')['sealed'], 'it is no more sealed')
    with stage.case('invariant 6: a worker that stops under a push has told '
                    'what it keeps, and the push goes on'):
        process = stage.begin('push', 'grows', '-')
        process.stdin.write(b'a' * 3_000_000)
        process.stdin.flush()
        wait_for(lambda: stored(stage, 'grows') > 0, 'something is stored')
        stage.stop('w3')
        process.stdin.write(b'b' * 3_000_000)
        process.stdin.close()
        expect(process.wait() == 0, process.stderr.read().decode())
        expect(stage.get('grows').out == b'a' * 3_000_000 + b'b' * 3_000_000,
               'other bytes')
    with stage.case('a worker that left by its own word is welcome at once'):
        stage.start('w3')
        stage.wait_live(*stage.names[1:])
    with stage.case('SIGTERM under a push: the forwarder stores what it '
                    'accepted, and ends'):
        process = stage.begin('push', 'cut', '-')
        process.stdin.write(b'c' * 2_000_000)
        process.stdin.flush()
        wait_for(lambda: stored(stage, 'cut') > 0, 'something is stored')
        stage.stop('origin')
        process.kill()
        process.wait()
        stage.start('origin')
        stage.wait_live(*stage.names[1:])
        stage.expect_same('clip', path)
end()
