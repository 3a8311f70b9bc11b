"""A whole file in, settled, and out again; beside NATS JetStream's file store.

rill answers when the bytes are on disk and survive lost workers. JetStream
answers before its file is synced. Everything runs on this machine and one disk.
"""
import os
import pathlib
import subprocess
import sys
import time

from figures import Figure
from peers import BUILD, ROOT, Absent, cpu_of, jetstream, ran

sys.path.insert(0, str(ROOT / 'tests' / 'plays'))
from stage import BIN, STEADY, Stage

CHUNK = 256 * 1024
IN_FLIGHT = 256    # Chunks that JetStream's client has unanswered.
GB = 1e9
MOST = 600         # Seconds that anything takes.


def rested():
    """What others left in memory for the disk is written, and forgotten."""
    os.sync()
    if os.geteuid() == 0:
        pathlib.Path('/proc/sys/vm/drop_caches').write_text('1')


def timed(command, env=None):
    """Seconds that a program took, and its own CPU seconds."""
    begun = time.monotonic()
    process = subprocess.Popen(['timeout', str(MOST), *map(str, command)],
                               env=env, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    out, err = process.stdout.read(), process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took = time.monotonic() - begun
    if process.returncode:
        raise Absent(f'{command[0]} ended with {process.returncode}: '
                     f'{err.decode(errors="replace")[-500:]}')
    return took, used.ru_utime + used.ru_stime, out.decode()


class Rill:
    """A cluster, and `rill` on it."""

    def __init__(self, stage, protect):
        self.stage, self.protect = stage, protect

    def pids(self):
        return [p.pid for p in self.stage.processes.values()
                if p.poll() is None]

    def run(self, *args):
        """Seconds it took, CPU seconds of `rill`, and of the cluster."""
        before = cpu_of(self.pids())
        took, own, _ = timed([BIN / 'rill', *args],
                             dict(os.environ, RILL_AT=self.stage.at['origin']))
        return took, own, cpu_of(self.pids()) - before

    def put(self, path, name):
        return self.run('put', path, '--as', name, '--protect', self.protect)

    def get(self, name, path):
        return self.run('get', name, '-o', path)


def one_file(size):
    """Bytes that do not compress, made once."""
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f'file-{size}'
    if not path.exists() or path.stat().st_size != size:
        with open(path, 'wb') as file:
            for _ in range(size // (1 << 20)):
                file.write(os.urandom(1 << 20))
    return path


def read_in(path):
    """A source's file lies in memory: its own disk is not what is measured."""
    with open(path, 'rb') as file:
        while file.read(16 << 20):
            pass


def client():
    """The Go program that puts into JetStream, built."""
    made = BUILD / 'jetstream'
    ran('go', 'build', '-o', made, ROOT / 'tests/bench/jetstream.go',
        env=dict(os.environ, GO111MODULE='off'))
    return made


def same(one, other):
    subprocess.run(['cmp', one, other], check=True)


class Measured:
    """The figures, and one turn of each."""

    def __init__(self, size):
        rate = 'MB/s'

        def put(code, wanted):
            return Figure(f'put, {code}', rate, 'rill',
                          'JetStream', f'>= {wanted}')
        self.plain = put('no parity, 4 workers', 1.5)
        self.coded = put('4+2, 6 workers', 1.0)
        self.nodes = Figure('CPU of forwarder and workers, no parity, put',
                            's/GB', 'rill')

        def cost(what):
            return Figure(f'CPU of all processes, {what}', 's/GB',
                          'rill', 'JetStream', '<= 1.0')
        self.cost = cost('no parity, put')
        self.coded_cost = cost('4+2, put')
        self.back_cost = cost('4+2, get')
        self.back = Figure('get, 4+2', rate, 'rill', 'JetStream',
                           '>= 1.0')
        self.lost = Figure('get, 4+2, two of six killed', rate,
                           'two killed', 'healthy', '>= 0.7')
        self.lost_cost = Figure('CPU of all processes, 4+2, get, two of six '
                                'killed', 's/GB', 'two killed')
        self.size = size

    def all(self):
        return [self.plain, self.coded, self.cost, self.coded_cost, self.nodes,
                self.back, self.back_cost, self.lost, self.lost_cost]

    def rate(self, took):
        return self.size / took / 1e6

    def per_gb(self, *cpu):
        return sum(cpu) / (self.size / GB)

    def peer(self, go, path, out):
        with jetstream() as nats:
            at = f'127.0.0.1:{nats.port}'
            rested()
            read_in(path)
            before = nats.cpu()
            took, own, _ = timed([go, 'put', at, path, CHUNK, IN_FLIGHT])
            cost = self.per_gb(own, nats.cpu() - before)
            rested()
            before = nats.cpu()
            read, own, _ = timed([go, 'get', at, out])
            self.back_cost.add('JetStream',
                               self.per_gb(own, nats.cpu() - before))
        same(path, out)
        out.unlink()
        self.plain.add('JetStream', self.rate(took))
        self.coded.add('JetStream', self.rate(took))
        self.cost.add('JetStream', cost)
        self.coded_cost.add('JetStream', cost)
        self.back.add('JetStream', self.rate(read))

    def four(self, path):
        with Stage(workers=4, patience=STEADY) as stage:
            rested()
            read_in(path)
            took, own, nodes = Rill(stage, 'none').put(path, 'one')
        self.plain.add('rill', self.rate(took))
        self.cost.add('rill', self.per_gb(own, nodes))
        self.nodes.add('rill', self.per_gb(nodes))

    def six(self, path, out):
        with Stage(workers=6, patience=1) as stage:
            rill = Rill(stage, '4+2')
            rested()
            read_in(path)
            took, *cpu = rill.put(path, 'one')
            self.coded.add('rill', self.rate(took))
            self.coded_cost.add('rill', self.per_gb(*cpu))
            rested()
            healthy, *cpu = rill.get('one', out)
            self.back_cost.add('rill', self.per_gb(*cpu))
            same(path, out)
            stage.kill('w2', 'w5')
            rested()
            lost, *cpu = rill.get('one', out)
            self.lost_cost.add('two killed', self.per_gb(*cpu))
            same(path, out)
            out.unlink()
        self.back.add('rill', self.rate(healthy))
        self.lost.add('healthy', self.rate(healthy))
        self.lost.add('two killed', self.rate(lost))


def figures(turns, size, say=print):
    """Measure; returns the figures, those of an absent peer without its
    samples."""
    measured, path, out = Measured(size), one_file(size), BUILD / 'back'
    try:
        go = client()
    except Absent as why:
        say(f'left out: JetStream: {why}')
        go = None
    for turn in range(turns):
        say(f'put: turn {turn + 1} of {turns}')
        if go:
            try:
                measured.peer(go, path, out)
            except Absent as why:
                say(f'left out: JetStream: {why}')
                go = None
        measured.four(path)
        measured.six(path, out)
    return measured.all()


def needs(size):
    return 6 * size
