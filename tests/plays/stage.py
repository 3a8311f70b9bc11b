"""The stage on which whole clusters of real processes play.

    with Stage(workers=6) as stage:
        with stage.case('invariant 2: what was put comes back exact'):
            path = stage.file('clip', 1_000_000)
            stage.rill('put', path, '--as', 'clip').expect(0)
            stage.get('clip').expect_bytes(path)

Each play is a program. It prints one line a case, "ok SAYS" or "not ok SAYS";
a failed case does not end the play. Every stage has a folder and free ports of
its own, so plays run beside each other, and takes away all it made, also when
it fails. Nothing sleeps for luck: wait_for() polls for what must come true, and
a Relay makes a put or a get stand still where a case wants it, so that no case
hangs on how fast the machine is.

RILL_BUILD names the build folder, build/release by default. Slow builds (the
sanitizers) get ten times the patience.
"""
import collections
import contextlib
import functools
import hashlib
import json
import math
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / os.environ.get('RILL_BUILD', 'build/release')
BIN = BUILD / 'bin'
SLOW = BUILD.name in ('address', 'thread')
PATIENCE = 10 if SLOW else 1
STEADY = 10                          # The patience where nobody is to leave.
SECONDS = 60 * (4 if SLOW else 1)    # Within which everything must come true.
CHUNK = 256 * 1024                   # Of recorded data, by default.
WITH_US = ('setpriv', '--pdeathsig', 'KILL')   # No node outlives its play.
AT_ONCE = 65536                      # What a relay passes in one turn.
PIECE = 64 << 20                     # More random bytes at once it has not.
# What a sanitizer or the program's own checks print before the end.
BROKEN = re.compile(r'Sanitizer|runtime error:|INVARIANT|invariant broken')
failures = 0
# Told to end, a play still takes away what it made.
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))


def counter_name(series):
    """A counter's name as counters_table.h has it: that of its family and the
    labels' values."""
    return '_'.join([series.partition('{')[0].removeprefix('rill_'),
                     *re.findall('"(.*?)"', series)])


@functools.cache
def counter_names():
    """The names of all counters there are, as `rill help counters` tells."""
    names, family = set(), ''
    told = subprocess.run([BIN / 'rill', 'help', 'counters'], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    for line in told.splitlines():
        if line.startswith('rill_'):
            family = line.split()[0]
            names.add(counter_name(family))
        elif line.strip().startswith('{'):
            names.discard(counter_name(family))
            names.add(counter_name(family + line.strip()))
    return names


class Counters(collections.Counter):
    """What a node counted, by counter_name(); what it does not tell is 0."""

    def __init__(self, told):
        super().__init__({counter_name(c['name']): c['value'] for c in told})

    def __missing__(self, name):
        expect(name in counter_names(), f'there is no counter {name}')
        return 0


class Failed(Exception):
    """What was expected is not so."""


def expect(true_thing, says):
    if not true_thing:
        raise Failed(says)


def wait_for(true_thing, says, seconds=SECONDS):
    """Poll until `true_thing()` is true; returns what it answered."""
    until = time.monotonic() + seconds
    while not (answer := true_thing()):
        if time.monotonic() > until:
            raise Failed(f'not within {seconds} s: {says}')
        time.sleep(0.02)
    return answer


def hold_ports(count):
    """Sockets on ports that nobody else has, outside those the kernel gives
    away. While one is held no other play takes its port; a node can listen
    there all the same."""
    held = {}
    while len(held) < count:
        port, holder = random.randrange(10000, 32000), socket.socket()
        try:
            holder.bind(('127.0.0.1', port))    # Alone; only then shared.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held[port] = holder
        except OSError:
            holder.close()
    return held


def messages():
    """The contract's messages in Python, made by protoc for this run."""
    with tempfile.TemporaryDirectory(prefix='rill-protos-') as made:
        protos = [p.relative_to(ROOT / 'protocols') for p in
                  (ROOT / 'protocols/rill/v1').glob('*.proto')]
        subprocess.run(['protoc', f'--python_out={made}', '--proto_path=.',
                        *protos], cwd=ROOT / 'protocols', check=True)
        sys.path.insert(0, made)
        from rill.v1 import event_pb2, message_pb2  # noqa: F401
        sys.path.remove(made)
        return message_pb2.Message


def stored(stage, name):
    """Bytes of a stream that are stored; 0 while there is none."""
    done = stage.rill('stat', name, '--json')
    return done.json()['stored'] if done.code == 0 else 0


class Relay:
    """Stands between a `rill` and the forwarder and passes so many bytes each
    way and no more, until it is told to: who speaks through it stands still.

        with Relay(stage, up=SIZE // 2) as relay:
            process = stage.begin('put', path, at=relay.at)
            wait_for(...)           # Half of it is under way, not more.
            relay.let(up=math.inf)

    `to`: somebody else than the stage's forwarder, at HOST:PORT.
    """

    def __init__(self, stage=None, up=math.inf, down=math.inf, to=None):
        host, port = (to or stage.at['origin']).split(':')
        self.to, self.over = (host, int(port)), False
        self.most, self.passed = dict(up=up, down=down), dict(up=0, down=0)
        self.door = socket.create_server(('127.0.0.1', 0))
        self.at = f'127.0.0.1:{self.door.getsockname()[1]}'
        self.turn, self.ends = threading.Condition(), set()
        threading.Thread(target=self.serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cut()

    def cut(self):
        """Nothing is passed any more, and nobody comes in."""
        self.hang_up(self.door)
        with self.turn:
            self.over = True
            self.turn.notify_all()
            for end in self.ends:
                self.hang_up(end)

    def let(self, **most):
        """Pass as many bytes, counted from the first."""
        with self.turn:
            self.most.update(most)
            self.turn.notify_all()

    @staticmethod
    def hang_up(end):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)

    def serve(self):
        with self.door, contextlib.suppress(OSError):    # It is shut.
            while True:
                near, _ = self.door.accept()
                threading.Thread(target=self.join, args=(near,),
                                 daemon=True).start()

    def join(self, near):
        """One connection, until either side ends it."""
        try:
            far = socket.create_connection(self.to)
        except OSError:
            return near.close()
        with near, far:
            with self.turn:
                self.ends |= {near, far}
            back = threading.Thread(target=self.pump, args=(far, near, 'down'),
                                    daemon=True)
            back.start()
            self.pump(near, far, 'up')
            back.join()
            with self.turn:
                self.ends -= {near, far}

    def pump(self, source, sink, way):
        with contextlib.suppress(OSError):
            while piece := source.recv(self.room(way)):
                with self.turn:
                    self.passed[way] += len(piece)
                sink.sendall(piece)
        self.hang_up(source)
        self.hang_up(sink)

    def room(self, way):
        """How much may be passed now; waits until it is something."""
        with self.turn:
            self.turn.wait_for(
                lambda: self.over or self.passed[way] < self.most[way])
            return 0 if self.over else int(
                min(AT_ONCE, self.most[way] - self.passed[way]))


def digest(path):
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


class Done:
    """A command that has ended."""

    def __init__(self, args, code, out, err):
        self.args, self.code, self.out = args, code, out
        self.err = err.decode(errors='replace')
        self.text = out.decode(errors='replace')

    def json(self):
        return json.loads(self.text)

    def expect(self, code, *words):
        """It ended with `code` and its talk holds each of `words`, whatever
        their case; returns itself."""
        talk = f'{" ".join(map(str, self.args))}: exit {self.code}: {self.err}'
        expect(self.code == code, f'exit {code} wanted: {talk}')
        expect(not BROKEN.search(self.err), talk)
        for word in words:
            expect(word.lower() in self.err.lower(), f'no "{word}" in {talk}')
        return self

    def expect_error(self, code, *words):
        """The same, and what it said is one clear error: a sentence or two."""
        said = [line for line in self.err.splitlines() if line.strip()]
        expect(1 <= len(said) <= 3, f'one error wanted, not: {self.err!r}')
        return self.expect(code, *words)


class Stage:
    """One cluster: a forwarder `origin` and workers w1 to wN."""

    def __init__(self, workers=6, space='8GB', start=True, more='',
                 patience=PATIENCE, groups=(), caches=(), director='', **nodes):
        """`more`: further lines of the cluster file; `nodes`: further keys of
        single nodes, as in origin='memory: 64MiB'. `patience`: STEADY where a
        worker that leaves because the machine is busy would be a nuisance.
        `groups`: a group's keys as one text, by its name; `caches`: a cache's
        group, by its name; `director`: its keys, if there is one."""
        self.workers = [f'w{n + 1}' for n in range(workers)]
        self.groups, self.caches = dict(groups), dict(caches)
        self.director_keys = director
        self.names = ['origin', *self.workers, *self.caches,
                      *['director'] * bool(director)]
        self.home = pathlib.Path(tempfile.mkdtemp(prefix='rill-play-'))
        self.space, self.more, self.keys = space, more, nodes
        self.processes, self.others, self.logs = {}, [], {}
        self.wants_start, self.patience, self.ports = start, patience, {}

    def __enter__(self):
        try:
            self.write_cluster()
            if self.wants_start:
                self.start(*self.names)
                self.wait_live(*self.workers)
            return self
        except BaseException as error:
            self.show_logs()
            self.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(self, kind, error, trace):
        try:
            self.close()
            if kind is None:
                self.audit()
        finally:
            self.free_ports()
            shutil.rmtree(self.home, ignore_errors=True)

    #   The cluster file

    def place_nodes(self):
        """Where each node is reached: at ports that are ours."""
        self.ports = hold_ports(len(self.names))
        return {name: f'127.0.0.1:{port}' for name, port in
                zip(self.names, self.ports)}

    def write_cluster(self):
        """Generate cluster.yml."""
        self.at = self.place_nodes()
        self.cluster = self.home / 'cluster.yml'
        lines = ['cluster: play', f'patience: {self.patience}',
                 f'forwarder: {self.entry("origin")}', 'workers:']
        lines += [f'  - {self.entry(n, f"space: {self.space}")}'
                  for n in self.workers]
        lines += ['groups:'] * bool(self.groups) + [
            f'  - {{name: {name}, {keys}}}'
            for name, keys in self.groups.items()]
        lines += ['caches:'] * bool(self.caches) + [
            f'  - {self.entry(n, f"group: {group}")}'
            for n, group in self.caches.items()]
        if self.director_keys:
            lines += [f'director: {{at: {self.at["director"]}, '
                      f'{self.director_keys}}}']
        lines += [self.more]
        self.cluster.write_text('\n'.join(lines) + '\n')

    def free_ports(self):
        for holder in self.ports.values():
            holder.close()

    def other_port(self):
        """One more port that nobody else has."""
        more = hold_ports(1)
        self.ports.update(more)
        return next(iter(more))

    def entry(self, name, *keys):
        keys = [f'name: {name}', f'at: {self.at[name]}',
                f'data: {self.place(name)}', *keys,
                *([self.keys[name]] if name in self.keys else [])]
        return '{' + ', '.join(keys) + '}'

    def place(self, name):
        """Where a node keeps its data."""
        return self.home / name

    #   Nodes

    def spawn(self, name, *args, cluster=None, before=()):
        """Start a node's daemon; returns its process, not yet ready."""
        program = ('rill-cache' if name in self.caches else
                   {'origin': 'rill-forwarder', 'director': 'rill-director'}
                   .get(name, 'rill-storage'))
        log = self.home / f'{name}.log'
        with open(log, 'ab') as out:
            self.logs[name] = (log, out.tell())
            process = subprocess.Popen(
                [*WITH_US, *before, BIN / program, '-f',
                 cluster or self.cluster, '--node', name, *args], cwd=self.home,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.others.append(process)
        return process

    def start(self, *names):
        """Start nodes and wait until each says that it is ready."""
        for name in names:
            self.processes[name] = self.spawn(name)
        for name in names:
            self.wait_said(name, r'\bready\b.*\brole=')

    def said(self, name):
        """What a node logged since it was last started."""
        log, begun = self.logs[name]
        return log.read_bytes()[begun:].decode(errors='replace')

    def wait_said(self, name, pattern):
        """Wait until a node logs a line; fails as soon as it has ended."""
        def there():
            found = re.search(pattern, self.said(name))
            if not found and self.processes[name].poll() is not None:
                raise Failed(f'{name} ended with '
                             f'{self.processes[name].returncode}: '
                             + self.said(name)[-2000:])
            return found
        return wait_for(there, f'{name} says {pattern}')

    def signal(self, name, number):
        self.processes[name].send_signal(number)

    def kill(self, *names):
        """SIGKILL, as a power cut of the process."""
        for name in names:
            self.signal(name, signal.SIGKILL)
        for name in names:
            self.processes.pop(name).wait()

    def stop(self, name):
        """SIGTERM; the node drains and says it has ended well."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f'{name} did not drain within {SECONDS} s: '
                         + self.said(name)[-2000:]) from None
        expect(code == 0, f'{name} drained with {code}: '
               + self.said(name)[-3000:])

    def close(self):
        """Take every process away, in good order and then by force."""
        failed = None
        for name in list(self.processes):     # The forwarder is the first.
            try:
                if self.processes[name].poll() is None:
                    self.signal(name, signal.SIGCONT)
                    self.stop(name)
            except Failed as late:
                failed = failed or late
        for process in self.others:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        self.processes, self.others = {}, []
        if failed:
            case_failed('every node drains at SIGTERM', failed)

    def audit(self):
        """No node said anything that only a defect says."""
        for name, (log, _) in self.logs.items():
            broken = BROKEN.search(log.read_text(errors='replace'))
            if broken:
                case_failed(f'{name} runs without a defect', Failed(
                    log.read_text(errors='replace')[broken.start():][:4000]))

    def show_logs(self):
        """The last words of every node, for whoever looks for the cause."""
        for name in self.logs:
            for line in self.said(name).splitlines()[-4:]:
                print(f'#   {name}: {line}')

    #   The command line

    def rill(self, *args, stdin=None, at=None, seconds=SECONDS * 6, cwd=None):
        """Run one `rill` to its end."""
        with self.begin(*args, stdin=stdin or subprocess.DEVNULL, at=at,
                        cwd=cwd) as process:
            try:
                out, err = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                raise Failed(f'rill {" ".join(map(str, args))}: no end within '
                             f'{seconds} s: {err[-2000:]!r}') from None
        return Done(('rill', *args), process.returncode, out, err)

    def run(self, *args):
        """Run any other command to its end."""
        done = subprocess.run(list(map(str, args)), cwd=self.home,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=SECONDS * 6)
        return Done(args, done.returncode, done.stdout, done.stderr)

    def begin(self, *args, stdin=subprocess.PIPE, at=None, cwd=None, before=(),
              **more):
        """Start one `rill`; it is taken away with the stage. `before`: what
        stands before its command; `more`: further variables of its
        environment."""
        process = subprocess.Popen(
            [*before, BIN / 'rill', *map(str, args)], stdin=stdin, cwd=cwd or self.home,
            env=dict(os.environ, RILL_AT=at or self.at['origin'], **more),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.others.append(process)
        return process

    def put(self, path, name=None, *args):
        """Put a file; it must become settled."""
        name = name or path.name
        return self.rill('put', path, '--as', name, *args).expect(0)

    def put_wide(self, path, name=None):
        """The same, until it lies over all workers: on a busy machine one may
        be late and out of the queue for a while."""
        name = name or path.name

        def is_wide():
            self.rill('rm', name)
            self.put(path, name)
            chunks = self.stat(name, '--chunks')['chunks']
            return {c['worker'] for c in chunks} == set(self.names[1:]) \
                and len({c['epoch'] for c in chunks}) == 1
        wait_for(is_wide, f'{name} lies over all workers')

    def get(self, name, *args, code=0):
        """Get a stream into memory."""
        return self.rill('get', name, '-o', '-', *args).expect(code)

    def expect_same(self, name, path):
        """The stream's bytes are the file's, all of them."""
        back = self.home / f'{name}.back'
        self.rill('get', name, '-o', back).expect(0)
        expect(digest(back) == digest(path), f'{name}: '
               f'{back.stat().st_size} bytes came back, not the '
               f'{path.stat().st_size} that were put, or others')
        back.unlink()

    def status(self):
        return self.rill('status', '--json').expect(0).json()

    def counters(self, name='origin'):
        """What a node counted since it was started, once it answers."""
        def told():
            done = self.rill('status', '--json', at=self.at[name])
            return done.code == 0 and done.json()
        return Counters(wait_for(told, f'{name} reports')['counters'])

    def counted(self, name, before, **least):
        """Wait until counters of a node have grown by so much or more."""
        now = before

        def grown():
            nonlocal now
            now = self.counters(name)
            return all(now[what] >= before[what] + count
                       for what, count in least.items())
        try:
            wait_for(grown, f'{name} counts {least} more')
        except Failed as late:
            raise Failed(f'{late}: {before} became {now}') from None

    def stat(self, name, *args):
        return self.rill('stat', name, '--json', *args).expect(0).json()

    def live(self):
        """The names of the workers in the queue."""
        done = self.rill('status', '--json')
        return {w['name'] for w in done.json()['workers']
                if w['state'] == 'live'} if done.code == 0 else set()

    def wait_live(self, *names):
        """Wait until exactly these workers are in the queue."""
        wait_for(lambda: self.live() == set(names),
                 f'{", ".join(names)} are in the queue')

    #   Files and cases

    def file(self, name, size, seed=1):
        """A file of `size` bytes, the same for the same seed."""
        path, chance = self.home / name, random.Random(seed)
        with open(path, 'wb') as file:
            for at in range(0, size, PIECE):
                file.write(chance.randbytes(min(PIECE, size - at)))
        return path

    def case(self, says):
        """One behaviour, told as the sentence that it proves."""
        return case(says, self.show_logs)


@contextlib.contextmanager
def case(says, show=lambda: None):
    """The same where there is no stage yet; `show`: done when it failed."""
    try:
        yield
    except Exception as error:      # The play goes on with its next case.
        case_failed(says, error)
        show()
    else:
        print(f'ok {says}', flush=True)


def case_failed(says, error):
    global failures
    failures += 1
    print(f'not ok {says}')
    if not isinstance(error, Failed):
        traceback.print_exception(error, file=sys.stdout)
    print(f'# {error}', flush=True)


def end():
    """What a play ends with."""
    sys.exit(1 if failures else 0)
