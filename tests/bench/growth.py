"""A tree of 10 to 10,000 caches around production relays, in virtual time.

What bench-growth plays and holds to the house's invariants; what it costs is
processor time of relays and of messages, without sockets. The largest tree is
played once, whatever --turns says: it takes minutes.
"""
import pathlib
import subprocess

from figures import Figure
from peers import ROOT, Absent

SIZES = [10, 100, 1000, 10000]
MEMORY_KIB = 4 << 20    # Of the largest.
SERVED_AGAIN, LOSS = 3000, 5000    # Milliseconds.

# What is told, its key, unit, bound.
TOLD = [
    ('copies of a chunk that leave the origin, for each first-level group that '
     'wants it', lambda t: t['origin_copies'] / t['wanted_firsts'], 'copies',
     '<= 1.001'),
    ('a storm of joins: Watch to Watched, p99', 'watched_p99_ms', 'ms', ''),
    ('from the origin to a viewer, p99', 'late_p99_ms', 'ms', ''),
    ('a first-level group is lost: all others are served again',
     lambda t: max(t['again_ms'], LOSS if t['behind'] else 0), 'ms',
     f'<= {SERVED_AGAIN}'),
    ('and are not while it is lost', 'behind', 'sessions', ''),
    ('a first-level group is lost: half of its own viewers go on elsewhere',
     'moved_p50_ms', 'ms', ''),
    ('a first-level group is lost: all of its own viewers go on elsewhere',
     'moved_most_ms', 'ms', ''),
    ('a join: what it costs all nodes', 'join_us', 'µs', ''),
    ('a join: messages between nodes', 'join_messages', 'messages', ''),
    ('a published chunk: what it costs each cache that takes it', 'chunk_us',
     'µs', ''),
    ('a keep and its answer: what it costs both nodes', 'keep_us', 'µs', ''),
    ('a keep at the origin, for each stream in it',
     lambda t: t['origin_keep_us'] / t['origin_wants'], 'µs', ''),
    ('all that a cache does, in a second', 'cache_us', 'µs', ''),
    ('the play: 44 s of it take', 'wall_s', 's', ''),
    ('the play: memory', 'memory_mib', 'MiB', ''),
]


def play(size):
    """What bench-growth prints, by key."""
    done = subprocess.run([ROOT / 'build/release/bin/bench-growth', str(size)],
                          capture_output=True, text=True)
    if done.returncode:
        raise Absent((done.stdout + done.stderr)[-400:])
    pairs = (line.partition('=') for line in done.stdout.splitlines())
    return {key: float(value) for key, _, value in pairs}


def has_memory():
    lines = pathlib.Path('/proc/meminfo').read_text().splitlines()
    free = next(int(line.split()[1]) for line in lines
                if line.startswith('MemAvailable'))
    return free >= MEMORY_KIB


def figures(turns, size, say=print):
    del size    # The design names the trees.
    sizes = SIZES
    if not has_memory():
        say(f'left out: {SIZES[-1]:,} caches: '
            f'{MEMORY_KIB >> 20} GiB of memory are not free')
        sizes = SIZES[:-1]
    found = [Figure(name, unit, f'{sizes[-1]:,}', wanted=wanted, over='caches')
             for name, _, unit, wanted in TOLD]
    broken = Figure('plays that broke an invariant', 'plays', f'{sizes[-1]:,}',
                    wanted='<= 0', over='caches')
    for caches in sizes:
        for turn in range(1 if caches == SIZES[-1] else turns):
            say(f'growth, {caches:,} caches: turn {turn + 1}')
            try:
                told = play(caches)
            except Absent as why:
                say(f'left out: {caches:,} caches: {why}')
                broken.add(f'{caches:,}', 1)
                continue
            broken.add(f'{caches:,}', 0)
            for figure, (_, key, _, _) in zip(found, TOLD):
                figure.add(f'{caches:,}',
                           key(told) if callable(key) else told[key])
    return [broken] + found


def needs(size):
    del size
    return 64 << 20
