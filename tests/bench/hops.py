"""How late each tier makes a live chunk: a cache that is the parent of a group,
the cache of the group that carries, and one that follows it and has 200
terminals. Beside as many bare XPUB/XSUB proxies.

One terminal at the parent and one at the carrier tell when they have a chunk
whole; a hop is what the first terminal of the next tier has it later. Terminals
share the machine's cores with the nodes; where it is allowed they have real-time
priority, so that told is when a chunk has come, and not when the kernel lets its
reader run."""
import contextlib
import statistics
import subprocess

import peers
from figures import Figure
from peers import Absent
from terminals import live_source, measured, spawned

from stage import BIN, Stage

TERMINALS = 200
# Of chunks: their size, every so many ms, for so many seconds.
SMALL, LARGE = (4 << 10, 40, 10), (64 << 10, 131, 10)
AT_ONCE = 'chrt', '--fifo', '1'
PROXIES = 4    # In place of the origin, parent, carrier and follower.
HOPS = 'parent to carrier', 'carrier to follower'
SPLIT = 'libzmq gives all of them the first 8 KiB before anyone the rest'


def tree():
    """An origin, a cache below it, and below that a group of two. One worker: it
    is the tree that is measured."""
    return Stage(workers=1, space='8GB', groups={
        'region': 'parents: [origin], siblings: unicast',
        'town': 'parents: [r1], siblings: unicast'},
        caches={'r1': 'region', 'a1': 'town', 'a2': 'town'})


@contextlib.contextmanager
def rill(stage, chunk, every_ms):
    """Terminals of each tier, the first group's first: so a1 carries."""
    with live_source(stage, chunk, every_ms):
        yield [f'live:{count}:{stage.at[node]}:cam' for node, count in
               (('r1', 1), ('a1', 1), ('a2', TERMINALS))], lambda: 0


@contextlib.contextmanager
def proxies(chunk, every_ms):
    with contextlib.ExitStack() as until:
        home = until.enter_context(peers.folder())
        source = peers.free_port()
        near, ports = f'@tcp://127.0.0.1:{source}', []
        for n in range(PROXIES):
            port = peers.free_port()
            until.enter_context(peers.running(
                f'proxy-{n}', [BIN / 'bench-bare', 'proxy', near,
                               f'@tcp://127.0.0.1:{port}'], home, port))
            near = f'>tcp://127.0.0.1:{port}'
            ports.append(port)
        until.enter_context(spawned(BIN / 'bench-source', 'pub',
                                    f'tcp://127.0.0.1:{source}', chunk,
                                    every_ms))
        yield [f'topic:{count}:127.0.0.1:{port}:-' for port, count in
               zip(ports[1:], (1, 1, TERMINALS))], lambda: 0


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
    both = [Figure(f'parent to follower, {of}: {part}', 'ms', 'rill',
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
        hops = [(c['first'][-1] - c['first'][0]) / 1e3 for c in chunks]
        both[0].add(who, statistics.median(hops))
        both[1].add(who, most(hops))
        fan.add(who, statistics.median(
            (c['last'][-1] - c['first'][-1]) / (TERMINALS - 1)
            for c in chunks))
    return [*half, *late, *both, fan]


def figures(turns, size, say=print):
    del size    # The chunks are of a live stream.
    before = AT_ONCE
    if subprocess.run([*AT_ONCE, 'true'], capture_output=True).returncode:
        say('hops: terminals have no real-time priority here')
        before = ()
    found = []
    for size in SMALL, LARGE:
        with tree() as stage:
            found += of_size(stage, size, turns, say, before)
    return found


def needs(size):
    del size
    return 1 << 30
