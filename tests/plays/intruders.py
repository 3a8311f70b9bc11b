"""Bad peers of a tree: at the front, the publishing socket and the sibling bus
of a cache, and at the director. While they attack a live stream flows to its
viewers and a clip is got, exact; afterwards everybody is alive, memory is under
its cap, and what was refused is counted (invariants 18 and 21).
"""
import collections
import concurrent.futures
import contextlib
import random
import socket
import struct
import threading
import time

import zmq

from hostile import (MB, SLOW, WRONG, Peer, Wire, endless, kilobytes,
                     publishes, refusal, say, sockets, wrong_bytes,
                     wrong_words)
from stage import PATIENCE, SECONDS, Stage, end, expect, wait_for

LAN = f'239.192.{random.randrange(256)}.{random.randrange(1, 255)}'
PIECE = 16 * 1024
MOST = (3000 if SLOW else 900) * MB    # Resident, of a node
FAR = 1 << 62
chance = random.Random(4)


class Show(Stage):
    """A tree with a live stream that flows, viewers at two depths, a clip."""

    def __init__(self):
        self.lan_port = random.randrange(10000, 32000)
        super().__init__(
            workers=3, patience=max(4, PATIENCE), groups={
                'region': f'parents: [origin], interface: 127.0.0.1, '
                          f'multicast: {LAN}:{self.lan_port}, key: lan.key',
                'town': 'parents: [r1, r2], siblings: unicast'},
            caches={'r1': 'region', 'r2': 'region', 't1': 'town'},
            director='rules: light', origin='memory: 64MiB')
        (self.home / 'lan.key').write_text('00112233445566778899aabbccddeeff')

    def __enter__(self):
        super().__enter__()
        self.clip, self.live = self.file('clip', 8_000_000), bytearray()
        self.put(self.clip)
        self.pusher, self.stops = self.begin('push', 'cam', '-'), False
        self.source = threading.Thread(target=self.flow)
        self.source.start()
        self.viewers = {at: self.viewer(at) for at in ('r1', 't1')}
        self.guests, self.outs = [], [
            out for name in ('r1', 'origin', 'director')
            for out in sockets(self, name) if publishes(out)]
        return self

    def flow(self):
        while not self.stops:
            piece = chance.randbytes(PIECE)
            self.live += piece
            self.pusher.stdin.write(piece)
            self.pusher.stdin.flush()
            time.sleep(0.02)        # A camera's pace, not luck.
        self.pusher.stdin.close()

    def viewer(self, at):
        got, process = bytearray(), None

        def read():
            while piece := process.stdout.read1(1 << 20):
                got.extend(piece)

        def there():
            nonlocal process
            process = self.begin('watch', 'cam', '--from', 'start',
                                 at=self.at[at])
        wait_for(lambda: self.rill('stat', 'cam').code == 0, 'cam is there')
        there()
        thread = threading.Thread(target=read)
        thread.start()
        return got, process, thread

    def finish(self):
        """The stream ends, and its viewers have all of it."""
        self.stops = True
        self.source.join()
        for at, (got, process, thread) in self.viewers.items():
            thread.join(SECONDS)
            expect(process.wait(SECONDS) == 0,
                   f'{at}: {process.stderr.read().decode()}')
            expect(got == self.live, f'{at}: {len(got)} bytes of '
                   f'{len(self.live)}, or others')

    def close(self):
        self.stops = True
        super().close()

    @contextlib.contextmanager
    def attack(self, says):
        """A case in which the stream flows on and the clip comes, exact."""
        with self.case(says), \
                concurrent.futures.ThreadPoolExecutor(1) as pool:
            came = pool.submit(self.get_all)
            yield
            came.result()
            had = {at: len(got) for at, (got, _, _) in self.viewers.items()}
            wait_for(lambda: all(len(self.viewers[at][0]) > had[at] + 10 * PIECE
                                 for at in had), 'the stream flows on')
            for name in self.names:
                expect(self.processes[name].poll() is None,
                       f'{name} has ended: ' + self.said(name)[-2000:])
            for name in self.names:
                peak = kilobytes(self.processes[name], 'VmHWM')
                expect(peak < MOST, f'{name}: {peak // MB} MiB were resident')

    def get_all(self):
        for at in ('r1', 't1'):
            expect(self.rill('get', 'clip', '-o', '-', at=self.at[at])
                   .expect(0).out == self.clip.read_bytes(),
                   f'other bytes at {at}')

    def unsent(self, at):
        return self.counters(at)['answers_unsent_total']

    def hear_all(self, at, peers, each, before):
        """What each of `peers` is answered to its requests 1 to `each`, as
        words; but for what it did not take in time, which its node counts:
        `before` they asked so much."""
        told, left = [], {peer: set(range(1, each + 1)) for peer in peers}

        def done():
            for peer, requests in left.items():
                while requests and (answer := peer.hear(0)):
                    if answer.request in requests:
                        requests.remove(answer.request)
                        told.append(word(answer))
            return sum(map(len, left.values())) <= self.unsent(at) - before
        wait_for(done, f'{at} answers {len(peers)} times {each}')
        return told

    def publisher(self, name):
        """Where a node sends its streams, which is not where it tells of
        itself."""
        peer = Peer(self.at[name])
        tap = peer.ask(status_ask={}).report.tap_at
        peer.close()
        out, = {at for at in sockets(self, name)
                if publishes(at) and f'tcp://{at}' != tap}
        return out

    def stream(self, name):
        peer = Peer(self.at['r1'])
        told = peer.ask(describe={'name': name}).described
        peer.close()
        return told.stream


def word(answer):
    return refusal(answer) or 'nothing'


def strange_questions(stage):
    """What nobody can answer, from any depth: each gets a reason."""
    cam, clip = stage.stream('cam'), stage.stream('clip')
    size = len(stage.clip.read_bytes())
    for at in ('t1', 'r1', 'origin'):
        peer = Peer(stage.at[at])
        for wanted, body in (
                ('UNKNOWN', {'watch': {'name': 'nobody', 'live': True}}),
                ('UNKNOWN', {'watch': {'stream': 1, 'start': True}}),
                ('UNKNOWN', {'describe': {'name': 'nobody'}}),
                ('UNKNOWN', {'ask': {'stream': 1, 'offset': 0}}),
                ('UNKNOWN', {'ask': {'stream': 1, 'offset': 9, 'wait': True}}),
                ('ARGUMENT', {'watch': {'name': 'cam'}}),
                ('ARGUMENT', {'watch': {'live': True}}),
                ('ARGUMENT', {'watch': {'name': 'cam', 'time_us': -1}}),
                ('FUTURE', {'watch': {'name': 'cam', 'offset': FAR}}),
                ('RANGE', {'watch': {'name': 'clip', 'offset': size + 1}}),
                ('FUTURE', {'ask': {'stream': cam, 'offset': FAR}}),
                ('RANGE', {'ask': {'stream': clip, 'offset': FAR}}),
                ('LATE', {'ask': {'stream': cam, 'offset': FAR, 'wait': True,
                                  'budget_ms': 100}})):
            asked = time.monotonic()
            heard = word(peer.ask(**body))
            took = time.monotonic() - asked
            expect(heard == wanted or {heard, wanted} == {'LATE', 'FUTURE'},
                   f'{at}: {heard}, not {wanted}, to {body}')
            expect(took < stage.patience, f'{at}: {took:.2f} s for {body}')
        answer = peer.ask(watch={'name': 'clip', 'offset': size + 1})
        expect(answer.refused.offset == size, f'{at}: {answer}')
        peer.close()


def little_credit(stage):
    """Without credit nothing comes; with a byte of it one chunk."""
    for at in ('t1', 'r1', 'origin'):
        peer = Peer(stage.at[at])
        expect(peer.ask(watch={'name': 'clip', 'start': True})
               .HasField('watched'), f'{at}: no session without credit')
        for credit in (0, 1):
            peer.tell(say(peer.request, watch_keep={'credit': credit}))
            while not (answer := peer.hear()).HasField('watching'):
                expect(credit, f'{at}: {answer} without credit')
        if answer.watching.at == 0:
            answer = peer.hear()
            expect(answer and answer.HasField('flow'), f'{at}: {answer}')
        expect(not peer.socket.poll(200), f'{at}: more than a chunk comes')
        peer.close()


def ten_thousand_opens(stage):
    """Sessions of one peer without end, of streams that are and that are
    not; and requests that are all the same, at once, of one and of many."""
    clip = stage.stream('clip')
    for at, count in (('r1', 10_000), ('t1', 2000), ('origin', 2000)):
        peer, before = Peer(stage.at[at], SNDHWM=0, RCVHWM=0), stage.unsent(at)
        for n in range(count):
            peer.tell(say(n + 1, watch={'live': True, 'credit': 1, 'name':
                          'cam' if n % 2 else f'n{chance.getrandbits(64):x}'}))
        told = collections.Counter(stage.hear_all(at, [peer], count,
                                                   before))
        expect(set(told) <= {'watched', 'UNKNOWN', 'BUSY'} and
               0 < told['watched'] <= 64, f'{at}: {told}')
        peer.close()
        for peers in ([Peer(stage.at[at])], [Peer(stage.at[at])
                                             for _ in range(50)]):
            each, before = 500 if len(peers) == 1 else 20, stage.unsent(at)
            for n in range(each):
                for peer in peers:
                    peer.tell(say(n + 1, ask={'stream': clip, 'offset': 5}))
            told = stage.hear_all(at, peers, each, before)
            expect(set(told) <= {'answer', 'BUSY'} and 'answer' in told,
                   f'{at}: {set(told)}')
            for peer in peers:
                peer.close()


def random_streams(stage, count):
    """Asks and keeps for streams that nobody has."""
    for at in ('r1', 't1'):
        peer, before = Peer(stage.at[at], SNDHWM=0, RCVHWM=0), stage.unsent(at)
        for n in range(count):
            peer.tell(say(n + 1, ask={'stream': chance.getrandbits(63) | 1,
                                      'offset': n}))
        told = set(stage.hear_all(at, [peer], count, before))
        expect(told <= {'UNKNOWN', 'BUSY'}, f'{at}: {told}')
        for n in range(60):
            peer.tell(say(0, keep={
                'seq': n, 'node': f'x{n}', 'group': f'g{n}', 'tier': 9,
                'incarnation': n, 'wants': [
                    {'stream': chance.getrandbits(63) | 1}
                    for _ in range(500)]}))
        for body in ({'tier': 0}, {'tier': 1, 'side': True, 'group': 'other'},
                     {'node': 'x' * 200}, {'wants': [{}] * 501}):
            heard = word(peer.ask(keep={'tier': 9, 'node': 'y', **body}))
            while heard == 'kept':      # What was said before.
                heard = word(peer.hear())
            expect(heard == 'ARGUMENT', f'{at}: {heard} to {str(body)[:50]}')
        peer.close()


def at_the_director(stage):
    """What is no message, and questions and reports that cannot be."""
    before, peer = stage.counters('director'), Peer(stage.at['director'])
    for cases in WRONG.values():
        for parts in cases:
            peer.tell(*parts)
    for body in ({'keep': {}}, {'watch': {'name': 'cam', 'live': True}},
                 {'load': {'node': 'nobody'}}, {'load': {'node': 'x' * 50_000}},
                 {'where': {'not': ['x'] * 9000}},
                 {'where': {'name': 'y' * 50_000, 'address': 'z' * 9000}}):
        expect(peer.ask(**body), f'no answer to {str(body)[:50]}')
    peer.close()
    stage.counted('director', before, requests_refused_total=12)
    endless(stage.at['director'], b'DEALER')
    places = stage.rill('where', '--json', '--at',
                        stage.at['director']).expect(0)
    expect(len(places.json()['places']) >= 3, f'{places.text}')


def subscriptions(stage, at, count=60_000):
    """Topics without end, and one without a likeness."""
    peer = context_sub(at)
    for n in range(count):
        peer.setsockopt(zmq.SUBSCRIBE, struct.pack('>QQ', n, n) + bytes(84))
    wire = Wire(at, b'SUB')
    with contextlib.suppress(OSError):
        wire.frame(MB, body=b'\x01' + bytes(MB - 1))
    expect(wire.cut(), 'a topic of 1 MB is taken')
    wire.close()
    return peer


def context_sub(at):
    peer = zmq.Context.instance().socket(zmq.SUB)
    peer.setsockopt(zmq.LINGER, 0)
    peer.setsockopt(zmq.SNDHWM, 0)
    peer.connect(f'tcp://{at}')
    return peer


def silent(fronts, outs, count=1000):
    """Half of them not even a greeting: those are the first."""
    ats = [*((at, b'DEALER') for at in fronts), *((at, b'SUB') for at in outs)]
    return [Wire(*ats[n % len(ats)], shakes=2 * n >= count)
            for n in range(count)]


def never_reads(stage, at, peers=12):
    """Watch and ask with all the credit there is, and take nothing; take all
    that is published, and read nothing of it."""
    clip, wires = stage.stream('clip'), []
    for _ in range(peers):
        wire = Wire(stage.at[at])
        wires.append(wire)
        for n in range(300):
            head = say(n + 1, ask={'stream': clip, 'offset': n % 30 * 262144})
            wire.send(b'\x01\0\0' + bytes([len(head)]) + head)
        for n in range(60):
            head = say(n + 1000, watch={'name': 'clip', 'start': True,
                                        'credit': FAR})
            wire.send(b'\x01\0\0' + bytes([len(head)]) + head)
        for out in stage.outs:
            wires.append(Wire(out, b'SUB'))
            wires[-1].send(b'\0\1\1')     # Every topic begins with nothing.
    return wires


#   The sibling bus

class Lan:
    """A stranger in the LAN of a group: it hears, and says what it likes."""

    def __init__(self, stage):
        self.to = (LAN, stage.lan_port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                               socket.inet_aton('127.0.0.1'))
        self.ears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.ears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.ears.bind(self.to)
        self.ears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                             socket.inet_aton(LAN)
                             + socket.inet_aton('127.0.0.1'))
        self.ears.settimeout(SECONDS)
        self.real = None

    def close(self):
        self.socket.close()
        self.ears.close()

    def kinds(self):
        """Packets that are none, of each kind."""
        one = self.real = self.real or self.ears.recv(2000)
        forged = bytearray(one)
        forged[40:48] = chance.randbytes(8)
        foreign = bytearray(one)
        foreign[8:16] = chance.randbytes(8)
        return {'replayed': one, 'forged': bytes(forged),
                'foreign': bytes(foreign), 'oversized': one + bytes(1000),
                'short': one[:50], 'garbage': chance.randbytes(96),
                'empty': b''}

    def flood(self, others, seconds, pace=50_000):
        """So many a second, as far as this machine can. Returns how many."""
        packets, said = list(self.kinds().values()), 0
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < seconds:
            while said < now * pace:
                for to in (self.to, *others):
                    self.socket.sendto(packets[said % len(packets)], to)
                    said += 1
            time.sleep(0.002)
        return said


def unknown(stage):
    return sum(stage.counters(name)['packets_dropped_total_unknown']
               for name in ('r1', 'r2'))


def main():
    with Show() as stage:
        stage.fronts, stage.pulls = [stage.at['r1'], stage.at['t1']], []
        out = stage.publisher('r1')
        lan = Lan(stage)
        with stage.attack('invariant 19: what is unknown, gone or to come is '
                          'refused with the reason, from any depth'):
            strange_questions(stage)
        with stage.attack('sessions 2: who has no credit gets nothing, who has '
                          'less than a chunk gets one and waits'):
            little_credit(stage)
        with stage.attack('invariant 18: 10,000 opens and 1,000 identical '
                          'requests of one peer are all answered'):
            ten_thousand_opens(stage)
        with stage.attack('invariant 18: streams that nobody has fill nothing'):
            random_streams(stage, 3000)
            for name in ('r1', 't1'):
                streams = stage.counters(name)['streams_known']
                expect(streams < 1100, f'{name} has {streams} streams')
        with stage.attack('invariant 21: what is no message is refused once at '
                          'a front, and counted by its reason'):
            before = {name: stage.counters(name) for name in ('r1', 't1')}
            wrong_words(stage)
            wrong_bytes(stage)
            for name in before:
                stage.counted(name, before[name], messages_total_unreadable=10,
                              messages_unreadable_total_too_large=2, messages_unreadable_total_version=2,
                              messages_total_refused=2)
        with stage.attack('invariants 18 and 21: what is no message is refused '
                          'at the director, which says where all the same'):
            at_the_director(stage)
        with stage.attack('invariant 18: an endless multipart does not fill '
                          'the memory of a cache'):
            before = stage.counters('r1')
            endless(stage.at['r1'], b'DEALER')
            if not SLOW:
                stage.counted('r1', before, sockets_flooded_total=1)
                for at in stage.outs:   # Small, as a subscription has to be.
                    endless(at, b'SUB', 50)
        with stage.attack('invariant 18: subscriptions without end are no '
                          'more than a nuisance'):
            before = stage.counters('r1')
            guest = subscriptions(stage, out)
            stage.counted('r1', before, sockets_flooded_total=1)
            guest.close()
        with stage.attack('invariant 18: 1,000 connections that say nothing '
                          'hinder nobody'):
            quiet = silent([*stage.fronts, stage.at['director']], stage.outs)
        with stage.attack('loans 1, invariant 18: who watches and asks and '
                          'reads nothing hinders nobody'):
            before = stage.counters('r1')
            wires = never_reads(stage, 'r1')
            stage.counted('r1', before, answers_busy_total=100)
        for wire in wires:
            wire.close()
        before = stage.counters('r1'), time.monotonic()
        replays = unknown(stage)
        with stage.attack('invariant 13, bus 1: forged, replayed, foreign, '
                          'oversized and garbage packets are nothing, and no '
                          'more of them are read than may be'):
            said = lan.flood([('127.0.0.1', int(at.split(':')[1]))
                              for at in stage.fronts], 1.5)
            stage.counted('r1', before[0], packets_dropped_total_strange=said // 50)
            now, took = stage.counters('r1'), time.monotonic() - before[1]
            read = sum(now[what] - before[0][what] for what in
                       ('packets_dropped_total_strange', 'packets_received_total'))
            expect(read <= took * 5000 + 50, f'{read} packets were read in '
                   f'{took:.1f} s')
            #   Who said it first passes over it, as multicast gives it back.
            expect(unknown(stage) > replays,
                   'what was heard before counts again')
            expect(now['faults_total_chunk_corrupt'] == 0, 'wrong bytes came')
        lan.close()
        with stage.case('who says nothing, not even a greeting, is sent away'):
            expect(all(wire.cut() for wire in quiet[:len(quiet) // 2]),
                   'they stay for ever')
            for wire in quiet:
                wire.close()
        for name in ('r1', 't1'):
            with stage.case(f'tally 1, invariant 21: the counters of {name} '
                            'add up'):
                now = stage.counters(name)
                expect(now['messages_received_total'] == sum(now[part] for part in (
                    'messages_total_taken', 'messages_total_refused',
                    'messages_total_unreadable')), f'{now}')
        with stage.case('invariant 12: after all of it every viewer has all '
                        'of the stream, and the clip comes'):
            stage.get_all()
            stage.finish()
    end()


if __name__ == '__main__':
    main()
