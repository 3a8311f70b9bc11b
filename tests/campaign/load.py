"""Sources and readers that work while everything around them breaks.

A load puts files, one after another, pushes one stream that grows, and reads
what was put before. It ends when it is told to; then all that was acknowledged
must be there, byte for byte.
"""
import hashlib
import threading
import time

from stage import Failed, digest, expect, wait_for

PUT_LEAST, PUT_MOST = 1_000_000, 12_000_000
REST = 0.3                # Seconds at most between two puts or gets.
PUSH_MOST = 100_000       # Bytes that a push writes at once.
PUSH_PAUSE = 0.05         # Between two such writes.
AGAIN = (69, 75)          # What may be answered while nodes are gone.
END_SECONDS = 180         # Within which everything that was begun has ended.


class Load:
    """A put, a push and a get, always under way."""

    def __init__(self, stage, job, chance, name):
        self.stage, self.job, self.name = stage, job, name
        self.chances = [type(chance)(chance.random()) for _ in range(3)]
        self.over, self.lock = threading.Event(), threading.Lock()
        self.putting = self.getting = None   # The processes under way.
        self.left = False                    # Abandoned: nothing goes on.
        self.settled = {}                    # name -> (digest, size)
        self.pushed, self.sent = hashlib.sha256(), 0
        self.seen = 0                        # The highest watermark told.

    def __enter__(self):
        self.push = self.stage.begin('push', self.pushed_name(), '-')
        self.threads = [threading.Thread(target=self.work, args=(each,))
                        for each in (self.put_on, self.push_on, self.get_on)]
        for thread in self.threads:
            thread.start()
        try:
            wait_for(self.look, 'the push is let in')
        except Failed as failed:
            self.__exit__(Failed, failed, None)
            raise
        return self

    def __exit__(self, kind, error, trace):
        self.over.set()
        self.left = kind is not None
        if self.left:
            for process in (self.putting, self.getting, self.push):
                if process and process.poll() is None:
                    process.kill()
        for thread in self.threads:
            thread.join()

    def pushed_name(self):
        return f'{self.name}-push'

    def work(self, each):
        try:
            each()
        except Exception as error:
            if not self.left:
                self.job.breach(f'{self.name}: {each.__name__}: {error!r}')

    def end_of(self, process, what):
        """Wait for one `rill`; returns its exit code and what it said."""
        try:
            _, err = process.communicate(timeout=END_SECONDS)
        except Exception:
            process.kill()
            _, err = process.communicate()
            raise Failed(f'{what}: no end within {END_SECONDS} s: '
                         f'{err[-500:]!r}') from None
        return process.returncode, err.decode(errors='replace')

    #   The three of them

    def put_on(self):
        chance, nth = self.chances[0], 0
        while not self.over.is_set():
            nth += 1
            name = f'{self.name}-put{nth}'
            path = self.stage.file(name, chance.randrange(PUT_LEAST, PUT_MOST),
                                   seed=chance.random())
            self.put_one(path, name)
            with self.lock:
                self.settled[name] = digest(path), path.stat().st_size
            path.unlink()
            self.over.wait(chance.uniform(0, REST))

    def put_one(self, path, name):
        """Put a file; a put that was killed by us is put again, unless it
        was complete before it could say so; and so is one that was not let
        in within its 10 s, or found nobody within 3 s."""
        killed, until = False, time.monotonic() + END_SECONDS
        while True:
            self.putting = self.stage.begin('put', path, '--as', name)
            code, said = self.end_of(self.putting, f'put {name}')
            killed |= code == -9
            if self.left or code not in (-9, *AGAIN):
                break
            self.job.hit('put begun again')
            expect(time.monotonic() < until, f'put {name} still ends with '
                   f'{code}: {said}')
        expect(code == 0 or killed and code == 65 and 'complete' in said,
               f'put {name} ended with {code}: {said}')

    def push_on(self):
        chance = self.chances[1]
        while not self.over.is_set():
            some = chance.randbytes(chance.randrange(1, PUSH_MOST))
            self.push.stdin.write(some)
            self.push.stdin.flush()
            self.pushed.update(some)
            self.sent += len(some)
            self.over.wait(PUSH_PAUSE)

    def get_on(self):
        while not self.over.is_set():
            with self.lock:
                names = list(self.settled)
            if not names:
                self.over.wait(0.05)
                continue
            self.get_one(self.chances[2].choice(names), AGAIN)
            self.over.wait(self.chances[2].uniform(0, REST))

    def get_one(self, name, may=()):
        """What is settled comes back exact, or in doubt not at all."""
        back = self.stage.home / f'{name}.got'
        self.getting = self.stage.begin('get', name, '-o', back)
        code, said = self.end_of(self.getting, f'get {name}')
        if code in may or code == -9:
            self.job.hit('get told to come again')
            return
        expect(code == 0, f'get {name} ended with {code}: {said}')
        expect((digest(back), back.stat().st_size) == self.settled[name],
               f'get {name}: {back.stat().st_size} bytes, not those of '
               f'{self.settled[name]}')
        back.unlink()

    #   What is under way, and what must be true

    def under_way(self):
        """Which of the three a fault hits at this moment."""
        there = {'put': self.putting, 'push': self.push, 'get': self.getting}
        return [what for what, process in there.items()
                if process and process.poll() is None]

    def look(self):
        """The watermark of the push; it never goes back (invariant 3)."""
        done = self.stage.rill('stat', self.pushed_name(), '--json')
        if done.code:
            return False
        stored = done.json()['stored']
        expect(stored >= self.seen, f'{self.pushed_name()}: the watermark '
               f'fell from {self.seen} to {stored}')
        self.seen = stored
        return True

    def finish(self):
        """All nodes are back: everything ends, and everything is there."""
        self.over.set()
        for thread in self.threads:
            thread.join()
        code, said = self.end_of(self.push, 'push')
        expect(code == 0, f'push ended with {code}: {said}')
        self.settled[self.pushed_name()] = (self.pushed.hexdigest(), self.sent)
        wait_for(self.look, 'the push can be looked at')
        self.check()

    def check(self):
        """Every settled stream is sealed, without a hole, and exact."""
        for name, (_, size) in self.settled.items():
            told = self.stage.stat(name)
            expect(told['sealed'] and told['size'] == size
                   and not told['holes'], f'{name} of {size} bytes: {told}')
            self.get_one(name)
            self.job.hit('stream read back exact')

    def remove(self, keep):
        """Give the space back, but for the last `keep` streams."""
        names = list(self.settled)
        for name in names[:len(names) - keep]:
            self.stage.rill('rm', name).expect(0)
            del self.settled[name]
