"""Streams that still grow: real video from ffmpeg through a pipe."""
import subprocess

from stage import STEADY, Stage, end, expect, stored, wait_for

CLIP = ('ffmpeg -v error -f lavfi -i testsrc2=size=1280x720:rate=25 '
        '-f lavfi -i sine=frequency=440 -t {seconds} -c:v mpeg2video -b:v 6M '
        '-c:a mp2 -f mpegts -')


def clip(seconds):
    """The same video each time, as it leaves ffmpeg."""
    command = CLIP.format(seconds=seconds).split()
    return subprocess.Popen(command, stdout=subprocess.PIPE,
                            stdin=subprocess.DEVNULL)


def push(stage, name, source, keep):
    """Push what `source` prints under `name`, and keep a copy."""
    process = stage.begin('push', name, '-')
    with open(keep, 'wb', buffering=0) as copy:
        while piece := source.stdout.read1(65536):
            process.stdin.write(piece)
            process.stdin.flush()
            copy.write(piece)
            yield process
    process.stdin.close()
    expect(process.wait() == 0, process.stderr.read().decode())


with Stage(patience=STEADY) as stage:
    with stage.case('invariant 2: real video pushed through a pipe comes back '
                    'exact'):
        keep = stage.home / 'fast.ts'
        for _ in push(stage, 'fast', clip(20), keep):
            pass
        stage.expect_same('fast', keep)
        expect(stage.stat('fast')['sealed'], 'the end of a pipe seals')
    with stage.case('invariants 2, 3 and 4: while a stream grows its watermark '
                    'never goes back and what lies below it is readable, '
                    'exact; at its end nothing is missing'):
        keep, marks = stage.home / 'slow.ts', [0]

        def grown():
            marks.append(stored(stage, 'slow'))
            expect(marks[-1] >= marks[-2], f'the watermark fell: {marks}')
            return marks[-1] == keep.stat().st_size
        for process in push(stage, 'slow', clip(4), keep):
            if keep.stat().st_size < marks[-1] + 400_000:
                continue
            wait_for(grown, 'what was pushed is stored')
            got = stage.get('slow')
            expect(len(got.out) >= marks[-1], 'less than was stored')
            expect(keep.read_bytes().startswith(got.out), 'other bytes')
            expect('open' in got.err, f'does not say so: {got.err}')
        expect(len(set(marks)) > 3, f'the watermark does not move: {marks}')
        stage.expect_same('slow', keep)
        told = stage.stat('slow')
        expect(told['size'] == keep.stat().st_size and not told['holes'],
               f'{told} of {keep.stat().st_size} bytes')
    with stage.case('a live byte is stored while the pipe is silent'):
        process = stage.begin('push', 'quiet', '-')
        process.stdin.write(b'x' * 1000)
        process.stdin.flush()
        wait_for(lambda: stored(stage, 'quiet') == 1000, '1000 bytes stored')
        process.stdin.close()
        expect(process.wait() == 0, 'push ends with its pipe')
    with stage.case('two live streams and a put do not mix'):
        pipes = [stage.begin('push', f'side{n}', '-') for n in range(2)]
        path = stage.file('side', 20_000_000)
        for n in range(200):
            for which, pipe in enumerate(pipes):
                pipe.stdin.write(bytes([n, which]) * 5000)
        stage.put(path)
        for which, pipe in enumerate(pipes):
            pipe.stdin.close()
            expect(pipe.wait() == 0, pipe.stderr.read().decode())
            expect(stage.get(f'side{which}').out == b''.join(
                bytes([n, which]) * 5000 for n in range(200)), 'other bytes')
        stage.expect_same('side', path)
end()
