"""What is older than its retention goes, and gives its space back; what was
removed too. What is younger stays, exact."""
import os
import time

from stage import SECONDS, SLOW, Stage, end, expect, wait_for

KEEP = 20 if SLOW else 8  # Seconds of retention: longer than a restart.
PIECE = 64 * 1024
PAUSE = 0.02              # Between pieces: 3 MB/s.


def taken(stage):
    """Bytes that the segments of all workers take on their disks."""
    files = [file for worker in stage.workers
             for file in (stage.home / worker / 'segments').glob('*')]
    total = 0
    for file in files:
        try:
            total += file.stat().st_blocks * 512
        except FileNotFoundError:
            pass
    return total


def kept(stage):
    """Bytes of payload that the workers say they have."""
    return sum(worker['bytes'] for worker in stage.status()['workers'])


class Pusher:
    """A live source: who pushes what, and when."""

    def __init__(self, stage, name):
        self.stage, self.name = stage, name
        self.process = stage.begin('push', name, '-')
        self.pieces = []        # When each was written.

    def body(self, first, stored):
        whole = b''.join(self.piece(n) for n in
                         range(first // PIECE, -(-stored // PIECE)))
        skip = first // PIECE * PIECE
        return whole[first - skip:stored - skip]

    @staticmethod
    def piece(n):
        return n.to_bytes(8, 'big') * (PIECE // 8)

    def push(self):
        self.process.stdin.write(self.piece(len(self.pieces)))
        self.process.stdin.flush()
        self.pieces.append(time.monotonic())
        time.sleep(PAUSE)       # A camera's pace, not luck.

    def push_until(self, true_thing, says, seconds=SECONDS):
        until = time.monotonic() + seconds
        while not (answer := true_thing()):
            expect(time.monotonic() < until, f'not within {seconds} s: {says}')
            for _ in range(10):
                self.push()
        return answer

    def must_be_kept(self):
        """Nothing younger than KEEP is gone; the rest is exact."""
        told = self.stage.stat(self.name)
        now, first = time.monotonic(), told['first']
        old = sum(now - when >= KEEP for when in self.pieces)
        expect(first <= old * PIECE,
               f'byte {first - 1} is gone, it is younger than {KEEP} s')
        return told

    def must_be_readable(self):
        """What will be young enough when it has been read comes back exact; a
        busy machine may need several tries to read in time."""
        def read():
            begun = time.monotonic()
            stored = self.stage.stat(self.name)['stored']
            first = min(stored, PIECE * sum(begun - when > KEEP / 2
                                            for when in self.pieces))
            got = self.stage.rill('get', self.name, '-o', '-', '--range',
                                  f'{first}-{stored}')
            if got.code and time.monotonic() > begun + KEEP / 2:
                for _ in range(10):
                    self.push()
                return False
            got.expect(0)
            expect(got.out == self.body(first, stored), 'other bytes')
            return True
        wait_for(read, 'what is young is read in time')

    def begins_at_the_oldest(self, at, begin):
        """Who wants to see what is gone sees the oldest there is, and is told;
        False: it went away meanwhile."""
        path, told = self.stage.home / 'seen', self.stage.stat(self.name)
        done = self.stage.rill('watch', self.name, '--from', begin, '--to',
                               told['stored'], '--json', '-o', path,
                               at=self.stage.at[at]).expect(0)
        for _ in range(10):
            self.push()
        seen = done.json()
        if seen['left_out']:
            return False
        expect(seen['from'] > 0 and path.read_bytes()
               == self.body(seen['from'], seen['to']), f'{at}: {seen}')
        expect(begin == 'start' or seen['moved'] and
               f'begins at byte {seen["from"]}' in done.err,
               f'{at}, from {begin}: {seen}, {done.err}')
        return True

    def end(self):
        self.process.stdin.close()
        expect(self.process.wait() == 0, self.process.stderr.read().decode())


with Stage(workers=3, origin=f'retention: {KEEP}s', caches={'c1': 'region'},
           groups={'region': 'parents: [origin], siblings: unicast'},
           **{f'w{n}': 'segment: 8MiB' for n in (1, 2, 3)}) as stage:
    with stage.case('invariant 11: what is older than its retention is GONE, '
                    'what is younger comes back exact'):
        live = Pusher(stage, 'live')
        live.push_until(lambda: len(live.pieces) > 50
                        and live.must_be_kept()['first'] > 8 * PIECE,
                        'the front goes')
        told = live.must_be_kept()
        got = stage.rill('get', 'live', '--range', '0-100')
        got.expect_error(65, 'retention')
        live.must_be_readable()
    with stage.case('invariant 13: who watches from before the retention gets '
                    'the oldest there is, and is told, at any depth'):
        for at in ('origin', 'c1'):
            for begin in ('start', '-1h', 0):
                wait_for(lambda: live.begins_at_the_oldest(at, begin),
                         'all of it is seen in time')
    with stage.case('invariant 11: space is given back while the stream goes '
                    'on'):
        live.push_until(lambda: live.must_be_kept()['first'] > 200 * PIECE,
                        'more of the front goes')
        # With its parity a byte takes one and a half.
        live.push_until(lambda: kept(stage) < len(live.pieces) * PIECE,
                        'the workers have less than what was pushed')
        live.must_be_kept()
    with stage.case('invariant 11: a forwarder and a worker that are killed '
                    'forget no younger byte'):
        stage.kill('origin', 'w2')
        stage.start('origin', 'w2')
        stage.wait_live('w1', 'w2', 'w3')
        mark = len(live.pieces)
        live.push_until(lambda: len(live.pieces) > mark + 50 and
                        live.must_be_kept()['stored'] > mark * PIECE,
                        'it goes on')
        live.must_be_readable()
        live.end()
    with stage.case('invariant 11: what nobody writes any more disappears, and '
                    'its space is free'):
        wait_for(lambda: stage.rill('stat', 'live').code == 1,
                 'the stream disappears')
        wait_for(lambda: kept(stage) == 0, 'no worker keeps a byte')
        wait_for(lambda: taken(stage) <= 3 * 2 * (8 << 20),
                 f'the disks are free: {taken(stage)}')
    with stage.case('a stream that is removed under a reader ends it with an '
                    'error, and no other byte'):
        path = stage.file('film', 40_000_000)
        stage.put(path)
        reader = stage.begin('get', 'film', '-o', '-')
        out = os.read(reader.stdout.fileno(), 100_000)
        stage.rill('rm', 'film').expect(0)
        expect(stage.rill('stat', 'film').code == 1, 'it is still there')
        rest, err = reader.communicate(timeout=SECONDS)
        out += rest
        expect(path.read_bytes().startswith(out), 'other bytes')
        expect(reader.returncode != 0 and err, 'the reader says that all is '
               f'well after {len(out)} bytes')
        wait_for(lambda: kept(stage) == 0, 'its space is given back')
end()
