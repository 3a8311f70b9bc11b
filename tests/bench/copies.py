"""How often a stream enters a group: eight siblings with fifty viewers each that
join within 100 ms, and the one that carries it is killed. Every node is a host
of its own, each group a LAN; counted is what the router sends into the LAN, with
all headers, keeps and answers."""
import json
import os
import subprocess
import sys
import time

from figures import Figure
from peers import ROOT, Absent

sys.path[:0] = [str(ROOT / where) for where in
                ('tests/plays', 'tests/kit', 'scripts')]
from hosted import Hosted
from hosts import refusal, run, short
from stage import BIN, WITH_US, wait_for

LANS = {'core': ['origin', 'w1', 'w2'], 'region': ['p1', 'p2'],
        'town': [f't{n}' for n in range(1, 9)]}
GROUPS = {'region': 'parents: [origin], multicast: 239.192.57.1:5790',
          'town': 'parents: [p1, p2], multicast: 239.192.57.2:5790'}
VIEWERS, WITHIN_MS = 400, 100
MBIT, SECONDS = 4, 15
WAIT_S = 2    # Of viewers for more, behind the stream's end.


class Copies(Hosted):
    def __init__(self):
        super().__init__(
            f'copies{os.getpid()}', LANS, workers=2, space='2GB', groups=GROUPS,
            caches={n: lan for lan in GROUPS for n in LANS[lan]})

    def bench(self, lan, program, *words):
        """One of the benchmarks' programs, in a LAN."""
        return subprocess.Popen(
            [*WITH_US, *self.terminal(lan), BIN / program, *map(str, words)],
            stdout=subprocess.PIPE, text=True)

    def entered(self):
        """Bytes that the router has sent into each group's LAN."""
        return {lan: int(run(*self.hosts.inside(), 'cat',
                             f'/sys/class/net/{short(lan)}/statistics/tx_bytes'))
                for lan in GROUPS}

    def taken(self):
        """Chunks that each of the town took from above, so far."""
        return {t: self.counters(t)['chunks_taken_total_parent']
                for t in LANS['town'] if t in self.processes}


def flows(stage, before):
    """The name of a stream that has bytes and was not there before."""
    listed = stage.rill('ls', '--json').expect(0).json()['streams']
    return next((s['name'] for s in listed
                 if s['stored'] and s['name'] not in before), None)


def copies(stage, before, kills):
    """Of a new stream: its bytes that came to each group, by those that its
    viewers saw."""
    source = stage.bench('core', 'bench-streams', stage.at['origin'], 1,
                         MBIT, SECONDS)
    name = wait_for(lambda: flows(stage, before), 'the stream flows')
    before.add(name)
    taken, begin = stage.taken(), stage.entered()
    viewers = stage.bench(
        'town', 'bench-viewers', name, VIEWERS,
        ','.join(stage.at[t] for t in LANS['town'] if t in stage.processes),
        f'over={WITHIN_MS}', f'until={(SECONDS + WAIT_S) * 1000}')
    if 'joined' not in viewers.stdout.readline():
        raise Absent('some viewers got nothing')
    if kills:
        time.sleep(SECONDS / 4)
        now = stage.taken()
        stage.kill(max(now, key=lambda t: now[t] - taken[t]))
    saw = json.loads(viewers.stdout.read())['viewers']
    source.communicate()
    ranges = {t['from']: (t['next'], t['crc']) for t in saw}
    if viewers.wait() or len({end for end, _ in ranges.values()}) > 1 or any(
            ranges[t['from']][1] != t['crc'] for t in saw):
        raise Absent('not all viewers saw the same')
    size = saw[0]['next'] - min(ranges)
    return {lan: (now - begin[lan]) / size
            for lan, now in stage.entered().items()}


def figures(turns, size, say=print):
    del size    # The design names the crowd.
    why = refusal()
    if why:
        say(f'left out: copies: {why}')
        return []
    found = {(lan, kills): Figure(
        f'{VIEWERS} viewers at 8 siblings join within {WITHIN_MS} ms'
        + (', the carrier is killed' if kills else '')
        + f': entered {whom}', 'copies', 'rill', wanted='<= 1.02')
        for kills in (False, True)
        for lan, whom in (('town', 'their group'),
                          ('region', 'the group above'))}
    for turn in range(turns):
        say(f'copies: turn {turn + 1} of {turns}')
        with Copies() as stage:
            seen = set()
            for kills in (False, True):
                try:
                    told = copies(stage, seen, kills)
                except Absent as why:
                    say(f'left out: this turn: {why}')
                    break
                for lan, value in told.items():
                    found[lan, kills].add('rill', value)
    return [figure for figure in found.values() if figure.samples]


def needs(size):
    del size
    return 2 << 30
