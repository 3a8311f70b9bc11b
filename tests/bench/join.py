"""How long a terminal waits for its first byte, and for the next one when a
parent dies: three tiers of two caches below the origin, on one machine."""
import contextlib
import json
import random
import subprocess
import sys
import time

from figures import Figure
from peers import ROOT, Absent

sys.path.insert(0, str(ROOT / 'tests' / 'plays'))
from stage import BIN, Stage, wait_for, WITH_US

TIERS = ('r', 'a', 'l')
CACHES = {f'{tier}{n}': tier for tier in TIERS for n in (1, 2)}
STREAMS, LIVE, MBIT = 100, 20, 0.2    # LIVE of them are joined at their end.
EVERY_MS = 25                         # A terminal joins so often.
VIEWERS, KILL_MBIT = 60, 4
LIVES_MS, AFTER_MS = 2000, 7000       # Before a parent dies, and then.


def tiers():
    parents, found = 'origin', {}
    for n, tier in enumerate(TIERS):
        found[tier] = (f'parents: [{parents}], multicast: '
                       f'239.192.{random.randrange(256)}.{n + 1}:'
                       f'{random.randrange(10000, 32000)}')
        parents = f'{tier}1, {tier}2'
    return found


@contextlib.contextmanager
def tree(multicast, streams, mbit):
    """The stage, and names of live streams that flow. Without multicast one
    sibling of two is told another address than the other."""
    with Stage(workers=2, space='2GB', groups=tiers(), caches=CACHES,
               start=False) as stage:
        stage.start('origin', *stage.workers)
        stage.wait_live(*stage.workers)
        deaf = stage.home / 'deaf.yml'
        deaf.write_text(stage.cluster.read_text().replace('239.192', '239.193'))
        for name in CACHES:
            stage.processes[name] = stage.spawn(
                name, cluster=deaf if '2' in name and not multicast else None)
        for name in CACHES:
            stage.wait_said(name, r'\bready\b.*\brole=')
        source = subprocess.Popen(
            [*WITH_US, BIN / 'bench-streams', stage.at['origin'], str(streams),
             str(mbit), '60'], stdout=subprocess.DEVNULL)
        try:
            yield stage, wait_for(lambda: flowing(stage, streams),
                                  'the streams flow')
        finally:
            source.kill()
            source.wait()


def flowing(stage, count):
    listed = stage.rill('ls', '--json').expect(0).json()['streams']
    names = [s['name'] for s in listed if s['stored']]
    return names if len(names) == count else None


def watch(stage, streams, count, places, *words):
    """Terminals that have begun; ended by told()."""
    return subprocess.Popen(
        [*WITH_US, BIN / 'bench-viewers', ','.join(streams), str(count),
         ','.join(stage.at[p] for p in places), *words],
        stdout=subprocess.PIPE, text=True)


def all_joined(process):
    if 'joined' not in process.stdout.readline():
        raise Absent('some terminals got nothing')


def told(process):
    found = json.loads(process.stdout.read())['viewers']
    if process.wait():
        raise Absent(f'a terminal went wrong: {[t for t in found if t["failed"]]}')
    return found


def p99_ms(terminals):
    found = sorted(t['join_us'] for t in terminals)
    return found[len(found) * 99 // 100] / 1000


def joins(stage, streams, count, begin):
    """Terminals of one leaf that watch on, each joined for itself."""
    process = watch(stage, streams, count, ['l1'], f'from={begin}',
                    f'over={EVERY_MS * count}', 'until=60000')
    all_joined(process)
    return process


def wait_to_join(multicast):
    """p99 ms to the first byte of what is three tiers up, of what flows through
    the leaf already, and of the live end of what does not yet."""
    with tree(multicast, STREAMS, MBIT) as (stage, streams):
        far = joins(stage, streams[LIVE:], STREAMS - LIVE, 'start')
        held = joins(stage, streams[LIVE:], 2 * (STREAMS - LIVE), 'live')
        live = joins(stage, streams[:LIVE], LIVE, 'live')
        for process in (far, held, live):
            process.terminate()
        return [p99_ms(told(p)) for p in (far, held, live)]


def parent_dies():
    """Longest pause in s of who watches below the parent that is killed, which
    carries for its group, and of who watches at it or at its sibling."""
    with tree(True, 1, KILL_MBIT) as (stage, streams):
        both = []
        for places in (['l1', 'l2'], ['a1', 'a2']):   # So it is a1 that carries.
            both += [watch(stage, streams, VIEWERS, places,
                           f'until={LIVES_MS + AFTER_MS}')]
            all_joined(both[-1])
        time.sleep(LIVES_MS / 1000)
        stage.kill('a1')
        return [max(t['pause_us'] for t in told(p)) / 1e6 for p in both]


def figures(turns, size, say=print):
    del size    # The design names what is joined.
    joined = {}
    for multicast, how in ((True, 'multicast alive'), (False, 'multicast dead')):
        joined[multicast] = [
            Figure(f'first byte of what {what}, {how}, p99', 'ms', 'rill',
                   wanted=wanted, notes=notes)
            for what, wanted, notes in (
                ('lies three tiers up', '<= 60', ''),
                ('the cache holds', '<= 20', ''),
                ('will come next, where nobody watches yet', '',
                 'a chunk is cut each 200 ms'))]
    below, there = (Figure(f'a parent is killed: longest pause of {who}', 's',
                           'rill', wanted=wanted)
                    for who, wanted in ((f'{VIEWERS} viewers below it', '<= 3'),
                                        ('those at it and its sibling', '<= 5')))
    for turn in range(turns):
        say(f'join: turn {turn + 1} of {turns}')
        for found, measure in ((joined[True], lambda: wait_to_join(True)),
                               (joined[False], lambda: wait_to_join(False)),
                               ((below, there), parent_dies)):
            try:
                for figure, value in zip(found, measure()):
                    figure.add('rill', value)
            except Absent as why:
                say(f'left out: this turn: {why}')
    return [figure for figure in joined[True] + joined[False] + [below, there]
            if figure.samples]


def needs(size):
    del size
    return 2 << 30
