"""What it costs that somebody listens to all events of all nodes: `rill tap -w`
reads them, or is stopped (SIGSTOP) and its queues fill; beside nobody.

The listener runs on the same machine: what it takes from the nodes' processors
is in the rates, and its own CPU is told apart from that of the nodes.
"""
import contextlib
import math
import os
import signal
import statistics
import subprocess
import sys
import time

from figures import Figure, short
from peers import ROOT, Absent, cpu_of
from put import one_file, timed

sys.path.insert(0, str(ROOT / 'tests' / 'plays'))
from hostile import Peer
from stage import BIN, STEADY, Stage, wait_for

NOBODY, READS, STOPPED = 'nobody', 'reads', 'stopped'
WAYS = NOBODY, READS, STOPPED
SAYS = {READS: 'a tap that reads', STOPPED: 'a tap that is stopped'}
ROUNDS = 8                  # Of puts and gets in a turn: a pair is too short
MOST = 256 << 20            # to tell 3 %, many of them are not.
WATCHERS, ASKS, LIVE = 12, 1500, 32 << 20
PIECE, PACE = 64 << 10, 16e6    # Of what is live: bytes, and a second's.
WANTED, WANTED_CPU = '>= 0.97', '<= 1.03'


@contextlib.contextmanager
def listening(stage, way):
    """Somebody who hears every node, or nobody; its process."""
    if way == NOBODY:
        yield None
        return
    log = stage.home / 'tap.log'
    with open(log, 'wb') as err:
        process = subprocess.Popen(
            [BIN / 'rill', 'tap', '-f', stage.cluster, '-w', '/dev/null'],
            stderr=err)
    try:
        wait_for(lambda: f'listening to {len(stage.names)} nodes'
                 in log.read_text(), 'the tap hears all nodes')
        if way == STOPPED:
            process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        process.kill()
        process.wait()


def asked(stage):
    """Milliseconds of single asks for a chunk that a cache holds."""
    peer = Peer(stage.at['r1'])
    stream = peer.ask(describe={'name': 'clip'}).described.stream
    times = []
    for _ in range(ASKS):
        begun = time.perf_counter()
        if not peer.ask(ask={'stream': stream, 'offset': 0}).answer.chunk.length:
            raise Absent('an ask was refused')
        times.append((time.perf_counter() - begun) * 1e3)
    peer.close()
    times.sort()
    return statistics.median(times), times[len(times) * 99 // 100]


def fanned_out(stage, name, piece, pids):
    """CPU seconds of the nodes for a GB that reaches watchers live, and how late
    the last of them had the last byte."""
    push = stage.begin('push', name, '-')
    push.stdin.write(piece[:PIECE])
    push.stdin.flush()
    while stage.rill('stat', name, '--json').code:
        time.sleep(0.05)
    watchers = [subprocess.Popen([BIN / 'rill', 'watch', name, '--from',
                                  'start'], stdout=subprocess.DEVNULL,
                                 env=dict(os.environ, RILL_AT=stage.at['r1']))
                for _ in range(WATCHERS)]
    before, begun = cpu_of(pids), time.monotonic()
    for at in range(PIECE, len(piece), PIECE):
        time.sleep(max(0, begun + at / PACE - time.monotonic()))
        push.stdin.write(piece[at:at + PIECE])
        push.stdin.flush()
    push.stdin.close()
    ended = time.monotonic()
    if any(p.wait() for p in [push, *watchers]):
        raise Absent('the fan-out failed')
    return ((cpu_of(pids) - before) / (len(piece) * WATCHERS / 1e9),
            (time.monotonic() - ended) * 1e3)


class Measured:
    """Figures of a way beside nobody, by name and way."""

    def __init__(self):
        self.all_of = {}

    def add(self, name, unit, way, value, wanted=''):
        for other in WAYS[1:]:
            figure = self.all_of.setdefault((name, other), Figure(
                f'{name}: {SAYS[other]}', unit, other, NOBODY, wanted))
            if way in (NOBODY, other):
                figure.add(way, value)

    def alone(self, name, unit, way, value):
        self.all_of.setdefault((name, way),
                               Figure(name, unit, way)).add(way, value)

    def all(self):
        for figure in self.all_of.values():
            figure.notes = sureness(figure.ratios())
        return list(self.all_of.values())


def sureness(ratios):
    """Where the median of all such pairs lies in 95 of 100 cases."""
    count = len(ratios or [])
    if count < 6:
        return ''
    skip = math.floor((count - 1.96 * math.sqrt(count)) / 2)
    ratios = sorted(ratios)
    return f'{count} pairs, whose median ratio lies in ' \
           f'{short(ratios[skip])} to {short(ratios[-1 - skip])}'


def put_and_get(stage, path, pids, way, measured):
    size, env = path.stat().st_size, dict(os.environ, RILL_AT=stage.at['origin'])
    with listening(stage, way) as listener:
        heard = [listener.pid] if listener else []
        for verb, args in (('put', (path, '--as', 'more', '--protect', 'none')),
                           ('get', ('more', '-o', '/dev/null'))):
            before, own = cpu_of(pids), cpu_of(heard)
            took, _, _ = timed([BIN / 'rill', verb, *args], env)
            measured.add(verb, 'MB/s', way, size / took / 1e6, WANTED)
            measured.add(f'{verb}, CPU of the nodes', 's/GB', way,
                         (cpu_of(pids) - before) / (size / 1e9), WANTED_CPU)
            if way == READS:
                measured.alone(f'{verb}, CPU of the listener', 's/GB', way,
                               (cpu_of(heard) - own) / (size / 1e9))
    stage.rill('rm', 'more').expect(0)


def live_and_asked(stage, live, pids, way, measured):
    with listening(stage, way):
        cpu, late = fanned_out(stage, f'cam-{way}-{time.monotonic_ns()}', live,
                               pids)
        measured.add(f'live to {WATCHERS} watchers, CPU of the nodes', 's/GB',
                     way, cpu, WANTED_CPU)
        measured.add('live, until all of them had the last byte', 'ms', way,
                     late)
        half, most = asked(stage)
        measured.add('one ask of a cache, p50', 'ms', way, half)
        measured.add('one ask of a cache, p99', 'ms', way, most)


def figures(turns, size, say=print):
    path = one_file(min(size, MOST))
    with open(path, 'rb') as file:
        live = file.read(LIVE)
    measured = Measured()
    with Stage(workers=4, space='8GB', patience=STEADY,
               groups={'region': 'parents: [origin], siblings: unicast'},
               caches={'r1': 'region'}) as stage:
        pids = [p.pid for p in stage.processes.values()]
        stage.put(path, 'clip')
        fanned_out(stage, 'warm', live[:4 << 20], pids)
        asked(stage)
        for turn in range(turns):
            say(f'tapped: turn {turn + 1} of {turns}')
            for nth in range(ROUNDS * len(WAYS)):
                way = WAYS[(turn + nth // len(WAYS) + nth) % len(WAYS)]
                put_and_get(stage, path, pids, way, measured)
            for nth in range(len(WAYS)):
                live_and_asked(stage, live, pids,
                               WAYS[(turn + nth) % len(WAYS)], measured)
    return measured.all()


def needs(size):
    return 4 * min(size, MOST) + LIVE * 32
