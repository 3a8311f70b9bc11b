"""How late each tier makes a live chunk: origin, the cache that carries, and one
that follows it, which has 200 terminals. Beside as many bare XPUB/XSUB proxies.

One terminal at the origin and one at the carrier tell when they have a chunk
whole; a hop is what the first terminal of the next tier has it later. Chunks are
stamped when their source sends them. Terminals share the machine's cores with
the nodes; where it is allowed they have real-time priority, so that told is when
a chunk has come, and not when the kernel lets its reader run."""
import contextlib
import statistics
import subprocess

import peers
from figures import Figure
from peers import Absent
from terminals import live_source, measured, region, spawned

from stage import BIN

TERMINALS = 200
# Of chunks: their size, every so many ms, for so many seconds.
SMALL, LARGE = (4 << 10, 40, 12), (64 << 10, 131, 12)
AT_ONCE = 'chrt', '--fifo', '1'
TIERS = 'origin', 'carrier', 'follower'
HOPS = 'parent to carrier', 'carrier to follower'
SPLIT = 'libzmq gives all of them the first 8 KiB before anyone the rest'


@contextlib.contextmanager
def rill(stage, chunk, every_ms):
    """Terminals of each tier, the first group's first."""
    with live_source(stage, chunk, every_ms):
        yield [f'live:{count}:{stage.at[node]}:cam' for node, count in
               (('origin', 1), ('r1', 1), ('r2', TERMINALS))], lambda: 0


@contextlib.contextmanager
def proxies(chunk, every_ms):
    with contextlib.ExitStack() as until:
        home = until.enter_context(peers.folder())
        source = peers.free_port()
        near, groups = f'@tcp://127.0.0.1:{source}', []
        for tier in TIERS:
            port = peers.free_port()
            until.enter_context(peers.running(
                f'proxy-{tier}', [BIN / 'bench-bare', 'proxy', near,
                                  f'@tcp://127.0.0.1:{port}'], home, port))
            near = f'>tcp://127.0.0.1:{port}'
            count = TERMINALS if tier == TIERS[-1] else 1
            groups.append(f'topic:{count}:127.0.0.1:{port}:-')
        until.enter_context(spawned(BIN / 'bench-source', 'pub',
                                    f'tcp://127.0.0.1:{source}', chunk,
                                    every_ms))
        yield groups, lambda: 0


def most(values):
    """What 99 of 100 are not above."""
    return sorted(values)[len(values) * 99 // 100]


def of_size(stage, size, turns, say, before):
    chunk, every_ms, seconds = size
    of = f'first of {TERMINALS} terminals, {chunk >> 10} KiB a chunk'
    #   Where it cannot be met by any that publishes so, it is told only.
    may = size == SMALL
    half = [Figure(f'{hop}, {of}: p50', 'ms', 'rill',
                   wanted='<= 0.5' if may or hop == HOPS[0] else '',
                   notes='' if may or hop == HOPS[0] else SPLIT)
            for hop in HOPS]
    late = [Figure(f'{hop}, {of}: p99', 'ms', 'rill',
                   wanted='<= 3' if may or hop == HOPS[0] else '')
            for hop in HOPS]
    whole = [Figure(f'source to {of}, two hops down: {part}', 'ms', 'rill',
                    'XPUB/XSUB', '<= 1.3') for part in ('p50', 'p99')]
    fan = Figure(f'behind the {of}: each', 'µs', 'rill', wanted='<= 40')
    ways = {'rill': rill(stage, chunk, every_ms),
            'XPUB/XSUB': proxies(chunk, every_ms)}
    for who, told, _ in measured(f'hops, {chunk >> 10} KiB', ways, seconds,
                                 turns, say, before):
        chunks = told['chunks']
        if not chunks:
            raise Absent(f'{who}: no chunk reached all')
        for n in range(len(HOPS)):
            hop = [(c['first'][n + 1] - c['first'][n]) / 1e3 for c in chunks]
            half[n].add(who, statistics.median(hop))
            late[n].add(who, most(hop))
        ends = [c['first'][-1] / 1e3 for c in chunks]
        whole[0].add(who, statistics.median(ends))
        whole[1].add(who, most(ends))
        fan.add(who, statistics.median(
            (c['last'][-1] - c['first'][-1]) / (TERMINALS - 1)
            for c in chunks))
    return [*half, *late, *whole, fan]


def figures(turns, size, say=print):
    del size    # The chunks are of a live stream.
    before = AT_ONCE
    if subprocess.run([*AT_ONCE, 'true'], capture_output=True).returncode:
        say('hops: terminals have no real-time priority here')
        before = ()
    found = []
    for size in SMALL, LARGE:
        #   One worker: it is the tree that is measured.
        with region('r1', 'r2', workers=1) as stage:
            found += of_size(stage, size, turns, say, before)
    return found


def needs(size):
    del size
    return 1 << 30
