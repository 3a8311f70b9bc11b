"""Sources and readers through interruptions, takeovers and restarts."""
import math
import signal
import subprocess
import time

from stage import (BIN, SECONDS, Relay, Stage, end, expect, stored,
                   wait_for)

SIZE = 60_000_000
LEASE = 10          # Seconds of a source that is gone (R11).


def push_some(stage, name, data):
    """A push that has stored `data` and waits for more."""
    process = stage.begin('push', name)
    had = stored(stage, name)
    process.stdin.write(data)
    process.stdin.flush()
    wait_for(lambda: stored(stage, name) == had + len(data), 'it is stored')
    return process


def let_store(stage, relay, name, size):
    """Let a source go on until so much of its stream is stored, not much more:
    it may first say much again that no longer counts."""
    def enough():
        relay.let(up=relay.passed['up'] + SIZE // 30)
        return stored(stage, name) > size
    wait_for(enough, f'{size} bytes are stored')


def get_half(stage, relay, back):
    """A get that has written something and cannot have all. It hears a hangup,
    also where nohup runs the tests."""
    process = stage.begin('get', 'clip', '-o', back, at=relay.at,
                          before=['env', '--default-signal=HUP'])
    wait_for(lambda: any(part.stat().st_size for part in
                         stage.home.glob('back.part-*')), 'it has begun')
    return process


def ends(process, code, *words):
    _, err = process.communicate()
    expect(process.returncode == code, f'{process.returncode}: {err}')
    for word in words:
        expect(word in err.decode(), f'no "{word}" in {err}')


with Stage() as stage:
    path = stage.file('clip', SIZE)
    whole = path.read_bytes()
    with stage.case('a push that is interrupted says that the stream stays '
                    'open; another goes on at once, without a hole'):
        process = push_some(stage, 'live', b'a' * 30_000)
        process.send_signal(signal.SIGTERM)
        ends(process, 0, 'open', '30000')
        process = push_some(stage, 'live', b'b' * 30_000)
        process.stdin.close()
        expect(process.wait() == 0, process.stderr.read().decode())
        told = stage.stat('live')
        expect(told['sealed'] and not told['holes'], f'{told}')
        expect(stage.get('live').out == b'a' * 30_000 + b'b' * 30_000,
               'other bytes')
    with stage.case('a name whose source is there is not taken away'):
        process = push_some(stage, 'mine', b'a' * 10_000)
        other = stage.begin('put', path, '--as', 'mine')
        ends(other, 65, 'mine')
        process.stdin.close()
        expect(process.wait() == 0, process.stderr.read().decode())
    with stage.case('invariants 3 and 4: the forwarder is killed under a put '
                    'and again; the put ends and the file is whole'):
        with Relay(stage, up=0) as relay:
            process = stage.begin('put', path, '--as', 'clip', at=relay.at)
            for part in (10, 3):
                let_store(stage, relay, 'clip', SIZE // part)
                stage.kill('origin')
                stage.start('origin')
            relay.let(up=math.inf)
            ends(process, 0)
        stage.expect_same('clip', path)
        expect(not stage.stat('clip')['holes'], 'a hole was made')
    with stage.case('the forwarder is killed under a push; the push goes on '
                    'and no byte is missing'):
        process = push_some(stage, 'through', whole[:500_000])
        stage.kill('origin')
        process.stdin.write(whole[500_000:900_000])
        process.stdin.flush()
        stage.start('origin')
        process.stdin.write(whole[900_000:1_500_000])
        process.stdin.close()
        expect(process.wait() == 0, process.stderr.read().decode())
        expect(stage.get('through').out == whole[:1_500_000], 'other bytes')
    with stage.case('invariant 12: the forwarder is killed under a get; the '
                    'file is whole'):
        back = stage.home / 'back'
        with Relay(stage, down=SIZE // 2) as relay:
            process = get_half(stage, relay, back)
            stage.kill('origin')
            expect(not back.exists(), 'half a file has the name')
            stage.start('origin')
            relay.let(down=math.inf)
            ends(process, 0)
        expect(back.read_bytes() == whole, 'other bytes')
        back.unlink()
    with stage.case('a get that is interrupted leaves nothing behind'):
        for number in (signal.SIGINT, signal.SIGHUP):
            with Relay(stage, down=SIZE // 2) as relay:
                process = get_half(stage, relay, back)
                process.send_signal(number)
                ends(process, 75)
            expect(not list(stage.home.glob('back*')), 'something is left')
    with stage.case('a get whose pipe is closed ends quietly'):
        process = stage.begin('get', 'clip')
        expect(process.stdout.read(1000) == whole[:1000], 'other bytes')
        process.stdout.close()
        process.wait()
        expect(process.stderr.read() == b'', 'it was not quiet')
        expect(process.returncode == 0, f'exit {process.returncode}')
with Stage(workers=2, patience=1) as stage:
    with stage.case('a name whose source was killed is free when its lease is '
                    'over, and not before; who waits says so'):
        process = push_some(stage, 'taken', b'a' * 10_000)
        begun = time.monotonic()
        process.kill()
        done = subprocess.run([BIN / 'rill', 'push', 'taken', '--at',
                               stage.at['origin']], input=b'b' * 10_000,
                              capture_output=True, timeout=SECONDS)
        expect(done.returncode == 0, f'{done}')
        took = time.monotonic() - begun
        expect(took > LEASE / 2, f'it was free after {took} s')
        expect(b'another source' in done.stderr, f'{done}')
        expect(stage.get('taken').out == b'a' * 10_000 + b'b' * 10_000,
               'other bytes')
end()
