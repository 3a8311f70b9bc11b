"""The director tells terminals where to go; caches are played by strangers
who report as WIRE.md says."""
import random
import subprocess

import zmq

from stage import (BIN, PATIENCE, SECONDS, WITH_US, Counters, Failed, Stage,
                   end, expect, hold_ports, messages, stored, wait_for)

context = zmq.Context()


Message = messages()
BUSY, ABSENT, KIND = 60, 82, 3
SURE = 100     # A patience with which no lease ends however slow we are.


class Peer:
    """Whoever asks the director something."""

    def __init__(self, at):
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(f'tcp://{at}')
        self.request = 0

    def ask(self, **body):
        self.request += 1
        self.socket.send_multipart([b'', Message(
            version=1, request=self.request, **body).SerializeToString()])
        while self.socket.poll(SECONDS * 1000):
            answer = Message.FromString(self.socket.recv_multipart()[1])
            if answer.request == self.request:
                return answer
        raise AssertionError(f'no answer to {body}')

    def where(self, **body):
        """The names that are offered."""
        return [p.node for p in self.ask(where=body).offer.places]

    def close(self):
        self.socket.close()


class Cache(Peer):
    """What a cache says to the director, and nothing else."""

    def __init__(self, at, name, incarnation=1):
        super().__init__(at)
        self.name, self.incarnation, self.seq = name, incarnation, 0

    def report(self, **load):
        self.seq += 1
        return self.ask(load=dict(node=self.name, seq=self.seq,
                                  incarnation=self.incarnation, **load))


GROUPS = {'region': 'parents: origin, siblings: unicast',
          'a': 'parents: r1, siblings: unicast, site: 10.1.0.0/16',
          'b': 'parents: [r2, r1], siblings: unicast, site: 10.2.0.0/16'}
CACHES = {'r1': 'region', 'r2': 'region', 'a1': 'a', 'a2': 'a', 'b1': 'b',
          'b2': 'b'}


class Directed(Stage):
    """A cluster with a tree and a director."""

    def __init__(self, rules, patience=SURE, more='', start=False,
                 groups=GROUPS, caches=CACHES):
        self.held = hold_ports(1)
        self.director = f'127.0.0.1:{next(iter(self.held))}'
        super().__init__(
            workers=2, start=start, patience=patience, groups=groups,
            caches=caches,
            more=f'director: {{at: {self.director}, rules: {rules}{more}}}')

    def free_ports(self):
        super().free_ports()
        for holder in self.held.values():
            holder.close()

    def begin_director(self):
        log = self.home / 'director.log'
        with open(log, 'ab') as out:
            self.logs['director'] = (log, out.tell())
            process = subprocess.Popen(
                [*WITH_US, BIN / 'rill-director', '-f', self.cluster, '--node',
                 'director'], cwd=self.home, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out)
        self.others.append(process)
        self.processes['director'] = process
        self.wait_said('director', r'\bready\b.*\brole=director')

    def where(self, *args):
        done = self.rill('where', *args, '--json', '--at', self.director)
        return done.expect(0).json()


def rules_of(told):
    return [(p['node'], p['rule']) for p in told['places']]


with Directed('[near, light, preferred]', more=', preferred: [b2]') as stage:
    stage.begin_director()
    caches = {name: Cache(stage.director, name)
              for name in ('r1', 'a1', 'a2', 'b1', 'b2')}
    viewer = Peer(stage.director)
    with stage.case('director_core 4: one that has just begun offers nobody, '
                    'and says so'):
        refused = viewer.ask(where={}).refused
        expect(refused.status == BUSY and 'begun' in refused.text, refused)
    with stage.case('L2: caches are offered by the rules in their order'):
        for cache in caches.values():
            loaded = cache.report(sessions=4).loaded
            expect(loaded.keep_ms == 1000 * SURE, loaded)
        caches['a1'].report(sessions=7, out_bps=28_000_000)
        told = stage.where('--from', '10.1.9.9')
        expect(rules_of(told) == [
            ('a2', 'light'), ('a1', 'near'), ('b2', 'preferred'),
            ('b1', 'edge'), ('r1', 'origin'), ('origin', 'origin')], told)
        expect(told['places'][1]['sessions'] == 7
               and told['places'][1]['near'] == 16, told)
        told = stage.where('cam1', '--from', '10.2.9.9')
        expect(rules_of(told)[:2] == [('b2', 'preferred'), ('b1', 'near')],
               told)
    with stage.case('a terminal is told as whom it was seen'):
        told = stage.where()
        expect(told['address'] == '127.0.0.1' and told['node'] == 'director',
               told)
        text = stage.rill('where', '--at', stage.director).expect(0).text
        expect('127.0.0.1' in text and 'RULE' in text, text)
    with stage.case('live.md 21: whom it sent somewhere counts until the '
                    'next report'):
        caches['a1'].report(sessions=4)
        caches['a2'].report(sessions=4)
        firsts = [viewer.where(address='10.1.9.9', watch=True)[0]
                  for _ in range(6)]
        expect(sorted(firsts) == ['a1'] * 3 + ['a2'] * 3, firsts)
        caches['a2'].report(sessions=4)
        firsts = [viewer.where(address='10.1.9.9', watch=True)[0]
                  for _ in range(3)]
        expect(firsts == ['a2'] * 3, firsts)
    with stage.case('who did not answer is left out; who leaves is not '
                    'offered'):
        names = viewer.ask(where={'not': ['a1', 'a2']}).offer.places
        expect(not {'a1', 'a2'} & {p.node for p in names}, names)
        caches['b1'].report(leaving=True)
        expect('b1' not in viewer.where(), 'b1 left')
        caches['b1'].report(sessions=4)
        expect('b1' in viewer.where(), 'b1 is back')
    with stage.case('strangers are told, and change nothing'):
        before = viewer.where()
        stranger = Cache(stage.director, 'evil')
        expect(stranger.report().refused.status == ABSENT, 'evil')
        expect(viewer.ask(keep={}).refused.status == KIND, 'kind')
        old = Cache(stage.director, 'b1', incarnation=0)
        old.report(sessions=1000)
        expect(viewer.where() == before, 'the offer is another')
        stage.rill('where', 'a b', '--at', stage.director).expect_error(64)
        stage.rill('where', '--from', 'here', '--at', stage.director
                   ).expect_error(65, 'address')
    with stage.case('a director that was killed knows all again at the next '
                    'reports'):
        stage.kill('director')
        stage.rill('where', '--at', stage.director
                   ).expect_error(69, 'is the director up?')
        stage.begin_director()
        for cache in caches.values():
            cache.report(sessions=4)
        expect(set(viewer.where()) == {*caches, 'origin'}, viewer.where())
    with stage.case('rill status tells of a director too'):
        told = stage.rill('status', '--json', '--at', stage.director
                          ).expect(0).json()
        counts = Counters(told['counters'])
        expect(told['role'] == 'director' and counts['caches_live'] == 5, told)

with Directed('light', patience=1, more=', origin: never') as stage:
    with stage.case('a cache that is silent is not offered when its lease is '
                    'over; the others are'):
        stage.begin_director()
        silent, awake = (Cache(stage.director, n) for n in ('a1', 'a2'))
        viewer = Peer(stage.director)
        silent.report()
        expect('a1' in viewer.where(), 'a1 reported')

        def left():
            """Who is offered while a2 goes on reporting."""
            awake.report()
            return viewer.where()
        wait_for(lambda: left() == ['a2'], 'a1 is gone, a2 is there')
        stage.wait_said('director', r'cache_lost.*cache=a1')

#   And now with caches

TOWN = {'town': 'parents: origin, siblings: unicast'}
with Directed('light', patience=2 * PATIENCE, start=True, groups=TOWN,
              caches={'t1': 'town', 't2': 'town'}) as stage:
    chance, said = random.Random(4), bytearray()
    source = stage.begin('push', 'cam', '-')

    def grow(pieces=8):
        for _ in range(pieces):
            piece = chance.randbytes(16 * 1024)
            source.stdin.write(piece)
            said.extend(piece)
        source.stdin.flush()

    with stage.case('a cache without a director answers for its own group'):
        told = stage.rill('where', '--json', '--at', stage.at['t2']
                          ).expect(0).json()
        expect([p['node'] for p in told['places']] == ['t2', 't1']
               and told['node'] == 't2', told)
    with stage.case('caches report by themselves; each passes questions on'):
        stage.begin_director()
        wait_for(lambda: {p['node'] for p in stage.where()['places']}
                 == {'t1', 't2', 'origin'}, 'both are offered')
        told = wait_for(lambda: (
            t := stage.rill('where', '--json', '--at', stage.at['t1'])
            .expect(0).json()) and t['node'] == 'director' and t,
            't1 passes it on')
        expect(told['address'] == '127.0.0.1' and len(told['places']) == 3,
               told)
    with stage.case('invariant 12: watch goes where the director says, and on '
                    'at the next cache when that one is killed: every byte '
                    'once'):
        grow()
        wait_for(lambda: stored(stage, 'cam'), 'cam is there')
        viewer = stage.begin('watch', 'cam', '--from', 'start', '-o', '-',
                             RILL_DIRECTOR=stage.director)
        got = bytearray()

        def take(count):
            while len(got) < count:
                piece = viewer.stdout.read1(1 << 20)
                if not piece:
                    raise Failed(f'watch ended: {viewer.stderr.read()}')
                got.extend(piece)
        take(1)
        watched = wait_for(lambda: [
            p['node'] for p in stage.where()['places']
            if p['sessions'] == 1 and p['node'] != 'origin'],
            'the cache that is watched at says so')
        expect(stage.where()['places'][0]['node'] != watched[0],
               'a terminal is sent where one watches, not to the idle one')
        stage.kill(watched[0])
        grow()
        source.stdin.close()
        expect(source.wait() == 0, source.stderr.read())
        take(len(said))
        expect(viewer.wait() == 0, viewer.stderr.read())
        expect(got == said, 'other bytes came')
        wait_for(lambda: watched[0] not in {
            p['node'] for p in stage.where()['places']},
            'who was killed is not offered')
end()
