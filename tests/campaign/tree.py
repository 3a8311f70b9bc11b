"""A live tree of real processes, each a host of its own: LANs and hosts are cut
off, multicast is lost, everybody who carries, passes on or watches is killed
and stopped, while viewers come and go at any byte.

Whoever watches has one range of the stream, exact, and nobody fails. When the
faults are over everybody goes on, one copy enters each group, with multicast
or without, and after the last one has left nothing goes down the tree.
"""
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time

from kills import stage_after_stage
from stage import ROOT, SECONDS, Failed, expect, stored, wait_for

sys.path[:0] = [str(ROOT / 'tests/kit'), str(ROOT / 'scripts')]
from hosted import Hosted
from hosts import refusal

BUILT, BEFORE = [], []
PATIENCE = 1        # Who looks dead on a busy machine is one fault more.
ROUNDS = 6          # Of one tree; then everything begins anew.
FAULTS = 4          # Of a round.
LONGEST = 4         # Seconds that a fault lasts,
PAUSE = 0.5         # and between two of them.
GUESTS = 3          # Viewers that come and go at a time.
STAYS = 3           # Seconds that they stay at most.
PIECE, PACE = 8 * 1024, 0.025
ENOUGH = 500_000    # Bytes by which copies are counted.
LOST_S, RAIN_S = 0.1, 0.5     # A fifth of multicast: each RAIN_S so long.
#   One host says something to a group, and another hears it or does not.
PROBE = '239.192.57.9', 5799
SAY = f"""import socket
for _ in range(5):
    socket.socket(2, 2).sendto(b'x', {PROBE})"""
HEAR = f"""import socket
ear = socket.socket(2, 2)
ear.bind({PROBE})
ear.setsockopt(0, socket.IP_ADD_MEMBERSHIP,
               socket.inet_aton('{PROBE[0]}') + bytes(4))
ear.settimeout(0.5)
print('hears', flush=True)
ear.recv(9)"""
LANS = {'core': ['origin', 'w1', 'w2', 'director'], 'region': ['r1', 'r2'],
        'town-a': ['a1', 'a2'], 'town-b': ['b1', 'b2']}
CACHES = {cache: lan for lan, hosts in LANS.items() for cache in hosts
          if lan != 'core'}
ABOVE = 'origin', 'r1', 'r2'     # Whoever has somebody below.
GROUPS = {'region': 'parents: [origin], multicast: 239.192.57.1:5790',
          'town-a': 'parents: [r1, r2], multicast: 239.192.57.2:5790',
          'town-b': 'parents: [r2, r1], siblings: unicast'}
RAINS = ('multicast cut wholly', 'a fifth of multicast lost',
         'multicast not touched')
KINDS = ('viewer came', *RAINS, 'carrier killed', 'carrier stopped',
         'parent killed', 'parent stopped', 'cache killed', 'cache stopped',
         'origin killed', 'origin stopped', 'director killed',
         'director stopped', 'viewer killed', 'viewer stopped',
         'group cut from its parents', 'host cut off', 'viewer left',
         'viewer began live', 'viewer began at the start',
         'viewer began at an offset', 'viewer began some time back',
         'one copy entered a group', 'nothing after the last leave')


def lack():
    return refusal()


class Tree(Hosted):
    def __init__(self, nth):
        self.nth = nth
        super().__init__(f'{os.getpid()}-{nth}', LANS, workers=2,
                         patience=PATIENCE, groups=GROUPS, caches=CACHES,
                         director='rules: [near, light]')

    def begin(self, *args, **more):
        return super().begin(*args, RILL_DIRECTOR=self.at['director'], **more)

    def carrier(self, group):
        """Who takes the stream from above for a group; None: who knows."""
        done = self.rill('tree', '--json', '--at', self.at['director'])
        for node in done.json()['nodes'] if done.code == 0 else ():
            if node['group'] == group and any(
                    s['carries'] for s in node.get('streams', ())):
                return node['node']
        return None

    def hears_multicast(self, host, other):
        python = '/usr/bin/python3', '-c'
        ear = subprocess.Popen([*self.hosts.inside(host), *python, HEAR],
                               stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
        with ear:
            ear.stdout.readline()
            subprocess.run([*self.hosts.inside(other), *python, SAY],
                           check=True)
        return ear.returncode == 0


class Camera:
    """The stream: it flows until it is told to end."""

    def __init__(self, stage, name, chance):
        self.stage, self.name, self.chance = stage, name, chance
        self.bytes, self.over = bytearray(), threading.Event()
        self.process = stage.begin('push', name, '-', '--buffer', '100ms')
        self.thread = threading.Thread(target=self.flow, daemon=True)
        self.thread.start()

    def flow(self):
        while not self.over.wait(PACE):
            piece = self.chance.randbytes(PIECE)
            self.bytes += piece
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(piece)
                self.process.stdin.flush()

    def end(self):
        self.over.set()
        self.thread.join()
        _, said = self.process.communicate(timeout=SECONDS)
        expect(self.process.returncode == 0, f'push: {said.decode()}')


class Viewer:
    """One `rill watch`, and what it gave."""

    def __init__(self, stage, camera, lan, begin, *more, at=None):
        self.camera, self.begin, self.bytes = camera, begin, bytearray()
        self.says = f'a viewer in {lan}, from {begin}, at {at or "any"}'
        words = ['--at', ','.join(stage.at[a] for a in at)] if at else []
        self.process = stage.begin('watch', camera.name, '--from', begin,
                                   *words, *more, lan=lan)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while piece := self.process.stdout.read1(1 << 20):
            self.bytes += piece

    def is_behind(self, count):
        """Whether it lacks what its stream has up to `count`."""
        end = self.first() + len(self.bytes) if self.bytes else 0
        expect(self.process.poll() is None, f'{self.says} has ended')
        return end < count

    def first(self):
        """Where it began; what it was given tells."""
        if isinstance(self.begin, int):
            return self.begin
        first = self.camera.bytes.find(self.bytes[:64])
        expect(first >= 0, f'{self.says} began with no bytes of the stream')
        return first

    def end(self, how=signal.SIGTERM):
        """It leaves, is killed, or ends by itself (0). All it was given is
        one range of the stream."""
        if how:
            self.process.send_signal(how)
        code = self.process.wait(SECONDS)
        self.thread.join()
        said = self.process.stderr.read().decode(errors='replace')
        #   Cut off, it may have been given nothing yet, and says so.
        nothing = () if self.bytes else (os.EX_TEMPFAIL,)
        expect(code in (0, -how, *nothing),
               f'{self.says} ended with {code}: {said}')
        self.check()

    def check(self):
        if not self.bytes:
            return
        first = self.first()
        expect(self.bytes == self.camera.bytes[first:first + len(self.bytes)],
               f'{self.says} was given {len(self.bytes)} bytes, and others '
               f'than there are from {first} on')


class Crowd:
    """Viewers that come, anywhere and at any byte, and go in any way."""

    def __init__(self, job, stage, camera, chance):
        self.job, self.stage, self.camera = job, stage, camera
        self.over, self.now = threading.Event(), []
        self.threads = [threading.Thread(target=self.churn, daemon=True,
            args=(random.Random(chance.random()),)) for _ in range(GUESTS)]
        for thread in self.threads:
            thread.start()

    def churn(self, chance):
        while not self.over.is_set():
            try:
                self.one(chance)
            except Exception as error:
                self.job.breach(f'a viewer that comes and goes: {error!r}')
                return

    def one(self, chance):
        lan = chance.choice(list(LANS))
        kind, begin = chance.choice((
            ('live', 'live'), ('at the start', 'start'),
            ('at an offset', chance.randrange(len(self.camera.bytes))),
            ('some time back', f'-{chance.randrange(1, 20)}s')))
        near = [c for c in CACHES if CACHES[c] == lan] or list(CACHES)[:2]
        at = chance.choice((None, chance.sample(near, 2)))
        ends = chance.choice((0, signal.SIGTERM, signal.SIGKILL))
        viewer = Viewer(self.stage, self.camera, lan, begin,
                        *(() if ends else ('--for', '1s')), at=at)
        self.job.hit('viewer came')
        self.job.hit(f'viewer began {kind}')
        self.over.wait(chance.uniform(0, STAYS))
        if chance.random() < 0.3 and viewer.process.poll() is None:
            self.job.hit('viewer stopped')
            viewer.process.send_signal(signal.SIGSTOP)
            self.over.wait(chance.uniform(0, STAYS))
            viewer.process.send_signal(signal.SIGCONT)
        viewer.end(ends)
        self.job.hit('viewer killed' if ends == signal.SIGKILL
                     else 'viewer left')

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


class Round:
    """Some faults, one after the other, then calm."""

    def __init__(self, job, stage, name, nth, chance):
        self.job, self.stage, self.chance = job, stage, chance
        self.camera = Camera(stage, name, random.Random(chance.random()))
        self.rain, self.dry = RAINS[nth % len(RAINS)], threading.Event()

    def play(self, faults):
        stage, camera, chance = self.stage, self.camera, self.chance
        wait_for(lambda: stored(stage, camera.name), 'the camera is there')
        #   One in each LAN stays from the first byte on.
        stay = [Viewer(stage, camera, lan, 0, at=at) for lan, at in (
            ('core', ['origin']), ('region', ['r1', 'r2']),
            ('town-a', ['a1', 'a2']), ('town-a', ['a2', 'a1']),
            ('town-b', ['b2', 'b1']), ('town-b', None))]
        weather = threading.Thread(target=self.weather, daemon=True)
        weather.start()
        crowd = Crowd(self.job, stage, camera, chance)
        try:
            if self.rain != RAINS[1]:
                wait_for(lambda: stage.hears_multicast('r1', 'r2')
                         == (self.rain == RAINS[2]), self.rain)
            for fault in faults:
                fault(self)
                time.sleep(chance.uniform(0, PAUSE))
            crowd.end()
            head = len(camera.bytes)
            for viewer in stay:
                wait_for(lambda: not viewer.is_behind(head),
                         f'{viewer.says} goes on after the last fault')
            self.one_copy()
            expect(self.grants() == len(GROUPS), f'{self.grants()} grants')
        finally:
            crowd.end()
            self.dry.set()
            weather.join()
        for viewer in stay:
            viewer.end()
        self.nothing_flows()
        camera.end()
        stage.rill('rm', camera.name).expect(0)

    #   What must be true

    def entered(self):
        """Bytes of the stream that the origin has cut, and that each group
        took from above."""
        done = self.stage.rill('tree', '--json', '--at',
                               self.stage.at['director']).expect(0)
        heads, taken = {}, dict.fromkeys(GROUPS, 0)
        for node in done.json()['nodes']:
            for stream in node.get('streams', ()):
                if stream['name'] == self.camera.name:
                    heads[node['node']] = stream['head']
                    if node['group'] in GROUPS:
                        taken[node['group']] += stream['bytes_from_parents']
        return heads.get('origin', 0), taken

    def one_copy(self):
        """Soon one copy enters each group, and no more."""
        def once():
            had, before = self.entered()
            wait_for(lambda: self.entered()[0] > had + ENOUGH, 'it flows')
            head, after = self.entered()
            self.copies = {group: round((after[group] - before[group])
                                        / (head - had), 2) for group in GROUPS}
            return all(abs(1 - n) < 0.15 for n in self.copies.values())
        try:
            wait_for(once, 'one copy enters each group')
        except Failed as failed:
            raise Failed(f'{failed} ({self.rain}): {self.copies}') from None
        self.job.hit('one copy entered a group', len(GROUPS))

    def grants(self):
        return sum(self.stage.counters(n)['grants'] for n in ABOVE)

    def nothing_flows(self):
        """The last has left: no grant is left, and nothing more is sent."""
        wait_for(lambda: not self.grants(), 'no grant is left')
        def sent():
            return [self.stage.counters(n)['chunks_published_total']
                    for n in ABOVE]
        before, head = sent(), len(self.camera.bytes)
        wait_for(lambda: stored(self.stage, self.camera.name) > head,
                 'more is stored')
        expect(sent() == before, 'what nobody watches is sent on')
        self.job.hit('nothing after the last leave')

    #   Faults

    def weather(self):
        """What multicast does all the while."""
        hosts = self.stage.hosts
        self.job.hit(self.rain)
        if self.rain == RAINS[0]:
            hosts.multicast(CACHES, False)
            self.dry.wait()
        while self.rain == RAINS[1] and not self.dry.wait(RAIN_S - LOST_S):
            hosts.multicast(CACHES, False)
            time.sleep(LOST_S)
            hosts.multicast(CACHES, True)
        hosts.multicast(CACHES, True)

    def lasts(self):
        time.sleep(self.chance.triangular(0.1, LONGEST, 0.5))

    def kill(self, name, kind):
        self.job.hit(f'{kind} killed')
        self.stage.kill(name)
        self.lasts()
        self.stage.start(name)

    def stop(self, name, kind):
        self.job.hit(f'{kind} stopped')
        self.stage.signal(name, signal.SIGSTOP)
        self.lasts()
        self.stage.signal(name, signal.SIGCONT)

    def cut(self, what, kind):
        self.job.hit(kind)
        self.stage.hosts.cut(what)
        self.lasts()
        self.stage.hosts.heal(what)

    def carrier(self):
        return wait_for(lambda: self.stage.carrier(self.chance.choice(
            list(GROUPS))), 'somebody carries the stream')

    def leaf(self):
        return self.chance.choice(LANS['town-a'] + LANS['town-b'])

    def parent(self):
        return self.chance.choice(LANS['region'])

    def group(self):
        return self.chance.choice(list(GROUPS))


DEEDS = [
    lambda r: r.kill(r.carrier(), 'carrier'),
    lambda r: r.cut(r.group(), 'group cut from its parents'),
    lambda r: r.stop(r.carrier(), 'carrier'),
    lambda r: r.kill(r.parent(), 'parent'),
    lambda r: r.stop(r.parent(), 'parent'),
    lambda r: r.cut(r.chance.choice(list(CACHES)), 'host cut off'),
    lambda r: r.kill(r.leaf(), 'cache'),
    lambda r: r.stop(r.leaf(), 'cache'),
    lambda r: r.kill('origin', 'origin'),
    lambda r: r.stop('origin', 'origin'),
    lambda r: r.kill('director', 'director'),
    lambda r: r.stop('director', 'director'),
]


def rounds(job, stage, chance, name):
    deeds = DEEDS[:]
    if stage.nth:
        chance.shuffle(deeds)
    for nth in range(ROUNDS):
        some = [deeds.pop(0) for _ in range(FAULTS)]
        deeds += some
        Round(job, stage, f'{name}-{nth}', nth, chance).play(some)
        job.tell()
        if job.is_over():
            return


def play(job):
    stage_after_stage(job, 'tree', Tree, rounds)
