"""Bad peers at every socket of every daemon: each case attacks while bytes are
put and got, which must stay exact. Afterwards everybody is alive, memory is
under its cap, and what was refused is counted (invariants 18 and 21).

Strangers come as ZeroMQ sockets where libzmq is able to misbehave, else as
`Wire`: ZMTP 3.0 by hand over TCP.
"""
import concurrent.futures
import contextlib
import os
import pathlib
import random
import re
import select
import socket
import struct
import time

import zmq

from stage import (SECONDS, SLOW, Failed, Stage, end, expect, messages,
                   wait_for)

MB = 1 << 20
BUDGET = 64 * MB            # The forwarder's for open chunks
# Of a node: program, queues, index, the breaker's allowance and what comes in
# before it looks again; sanitizers keep what was freed.
MOST = {'origin': BUDGET + (900 if SLOW else 700) * MB,
        'w1': (3000 if SLOW else 900) * MB}
chance = random.Random(18)
context = zmq.Context()
context.max_sockets = 8192


Message = messages()


def say(request=1, version=1, **body):
    """A packed message: say(hello={'store': 1})."""
    return Message(version=version, request=request, **body).SerializeToString()


def status_of(name):
    return Message.DESCRIPTOR.file.pool.FindEnumTypeByName(
        'rill.v1.Status').values_by_name['STATUS_' + name].number


#   Strangers

class Peer:
    """A stranger with a ZeroMQ socket."""

    def __init__(self, at, kind=zmq.DEALER, **options):
        self.socket = context.socket(kind)
        self.socket.setsockopt(zmq.LINGER, 0)
        for name, value in options.items():
            self.socket.setsockopt(getattr(zmq, name), value)
        self.socket.connect(f'tcp://{at}')
        self.bare, self.request = kind == zmq.PUSH, 1 << 40

    def tell(self, *parts):
        self.socket.send_multipart([*([] if self.bare else [b'']), *parts])

    def hear(self, seconds=SECONDS):
        """The next message, and its payload; None: silence."""
        if not self.socket.poll(seconds * 1000):
            return None
        return Message.FromString(self.socket.recv_multipart()[1])

    def ask(self, seconds=SECONDS, **body):
        """Ask; what answers that, not what was said before."""
        self.request += 1
        self.tell(say(self.request, **body))
        while (answer := self.hear(seconds)) \
                and answer.request != self.request:
            pass
        return answer

    def close(self):
        self.socket.close()


def end_of(at):
    raise ConnectionResetError(f'{at} hung up')


class Wire:
    """A stranger that speaks ZMTP by itself."""

    GREETING = (b'\xff' + bytes(8) + b'\x7f\x03\x00' + b'NULL'.ljust(20, b'\0')
                + bytes(32))

    def __init__(self, at, kind=b'DEALER', shakes=True):
        host, port = at.split(':')
        self.socket = socket.create_connection((host, int(port)), SECONDS)
        if shakes:
            ready = (b'\x05READY\x0bSocket-Type'
                     + struct.pack('>I', len(kind)) + kind)
            self.send(self.GREETING + b'\x04' + bytes([len(ready)]) + ready)
            came = b''      # Greeting and READY: before them no frame counts.
            while len(came) < 66 or len(came) < 66 + came[65]:
                came += self.socket.recv(4096) or end_of(at)
            self.other = came       # What the other end says it is.

    def send(self, data):
        self.socket.sendall(data)

    def frame(self, size, more=False, body=None):
        """One long frame; `body` may be shorter than its size says."""
        self.send(bytes([2 | more]) + struct.pack('>Q', size)
                  + (bytes(size) if body is None else body))

    def readable(self):
        return select.select([self.socket], [], [], 0)[0]

    def cut(self, seconds=SECONDS):
        """Whether the other end ends the connection in time."""
        until = time.monotonic() + seconds
        self.socket.settimeout(0.2)
        while time.monotonic() < until:
            try:
                if not self.socket.recv(4096):
                    return True
            except TimeoutError:
                pass
            except OSError:
                return True
        return False

    def close(self):
        self.socket.close()


def listening(process):
    """Every address of 127.0.0.1 where a process accepts connections."""
    mine = set()
    for fd in pathlib.Path(f'/proc/{process.pid}/fd').iterdir():
        with contextlib.suppress(OSError):
            mine.add(os.readlink(fd))
    table = pathlib.Path('/proc/net/tcp').read_text().splitlines()[1:]
    return {f'127.0.0.1:{int(row[1].split(":")[1], 16)}'
            for row in map(str.split, table)
            if row[3] == '0A' and f'socket:[{row[9]}]' in mine}


def sockets(stage, name):
    """Every address where a node speaks ZMTP: not that of its HTTP, which
    waits for the end of a line."""
    peer = Peer(stage.at[name])
    told = wait_for(lambda: peer.ask(status_ask={}), f'{name} reports').report
    peer.close()
    return listening(stage.processes[name]) - {told.metrics_at}


def serves(at, mine, kind):
    """Whether it is a socket of that kind that listens there; `mine`: the kind
    that talks to it."""
    with contextlib.suppress(Failed, OSError):
        stranger = Wire(at, mine)
        stranger.close()
        return kind in stranger.other
    return False


def pulls(at):
    return serves(at, b'PUSH', b'PULL')


def publishes(at):
    return serves(at, b'SUB', b'XPUB')


def kilobytes(process, what):
    status = pathlib.Path(f'/proc/{process.pid}/status').read_text()
    return int(re.search(what + r':\s+(\d+) kB', status)[1]) << 10


class Attacked(Stage):
    """A stage with a clip that is got, and files that are put, all the time."""

    def __enter__(self):
        super().__enter__()
        self.clip = self.file('clip', 20_000_000)
        self.put(self.clip)
        self.small, self.puts = self.file('small', 10_000_000, 2), 0
        self.front = self.at['origin']
        self.receipts, = filter(pulls, sockets(self, 'origin'))
        self.pull, = filter(pulls, sockets(self, 'w1'))
        #   Every socket that a stranger can reach, and what it is.
        self.fronts = [self.front, self.at['w1']]
        self.pulls = [self.receipts, self.pull]
        self.outs = [out for name in ('origin', 'w1')
                     for out in sockets(self, name) if publishes(out)]
        self.guests = []
        return self

    def guest(self, at):
        """A stranger that pushes; it stays until its case ends, so that all
        it says arrives."""
        self.guests.append(Peer(at, zmq.PUSH))
        return self.guests[-1]

    @contextlib.contextmanager
    def attack(self, says):
        """A case in which bytes come and go, exact, while it attacks."""
        with self.case(says), \
                concurrent.futures.ThreadPoolExecutor(2) as pool:
            self.puts += 1
            name = f'small-{self.puts}'
            came = pool.submit(self.put, self.small, name)
            went = pool.submit(self.expect_same, 'clip', self.clip)
            yield
            came.result()
            went.result()
            while self.guests:
                self.guests.pop().close()
            self.expect_same(name, self.small)
            self.expect_well()

    def expect_well(self):
        for name in self.names:
            expect(self.processes[name].poll() is None, f'{name} has ended: '
                   + self.said(name)[-2000:])
        for name, most in MOST.items():
            peak = kilobytes(self.processes[name], 'VmHWM')
            expect(peak < most, f'{name}: {peak // MB} MiB were resident')

    def cluster_id(self):
        return int(self.status()['cluster'], 16)

    def store(self, name):
        return next(int(w['store'], 16) for w in self.status()['workers']
                    if w['name'] == name)


#   What a node counts coming in, and in what it ends, once.
GROUPS = {
    'messages_received_total': (
        'messages_total_taken', 'messages_total_refused',
        'messages_total_dropped', 'messages_total_unreadable'),
    'worker_messages_received_total_front': (
        'worker_messages_total_front_answered',
        'worker_messages_total_front_refused',
        'worker_messages_total_front_unsaid')}


def adds_up(counts):
    whole, = GROUPS.keys() & counts.keys()
    #   The question that brought the counts has not ended.
    total = 1 + sum(counts[part] for part in GROUPS[whole])
    expect(counts[whole] == total, f'{whole} is {counts[whole]}, its parts are '
           f'{total}: {counts}')


#   What is wrong with a message

def nested(depth):
    """Submessages in submessages, as deep as a head allows."""
    data = b''
    for _ in range(depth):
        size, head = len(data), b''
        while size > 127:
            head += bytes([size & 127 | 128])
            size >>= 7
        data = b'\xa2\x01' + head + bytes([size]) + data   # Field 20, open
    return data


WRONG = {
    'MALFORMED': [[b'nonsense'], [say(status_ask={}), b'too', b'many'],
                  [say(status_ask={})[:-1] + b'\xff'], [nested(5000)],
                  [say(list={'after': 'x' * 9})[:12]]],
    'VERSION': [[say(version=2, status_ask={})], [say(version=0)]],
    'KIND': [[say()], [say(refused={})], [say(receipt={})],
             [say(progress={})]],
    'TOO_LARGE': [[bytes(70_000)], [os.urandom(MB)],
                  [say(status_ask={}) + b'\xfa\x7f\x01x' * 16_000]],
}


def wrong_words(stage):
    """Each gets one refusal; a request that can be read is repeated."""
    for at in stage.fronts:
        peer = Peer(at)
        for status, cases in WRONG.items():
            for parts in cases:
                peer.tell(*parts)
                answer = peer.hear()
                expect(answer is not None, f'{at}: no answer to {status}')
                if answer.WhichOneof('body') == 'refused':
                    expect(answer.refused.status == status_of(status)
                           or status in ('KIND', 'TOO_LARGE', 'MALFORMED'),
                           f'{at}: {answer} to {status}')
                else:
                    expect(answer.HasField('report'), f'{at}: {answer}')
        for parts in ([b'x' * 200, b'', say(status_ask={})], [b'x'] * 9,
                      [b''], [b'', b'', b''], [b'x'] * 400):
            peer.socket.send_multipart(parts)
        while peer.hear(0.3):
            pass
        answer = peer.ask(status_ask={})
        expect(answer and answer.HasField('report'), f'{at} is not itself')
        peer.close()
    for at in stage.pulls:
        peer = stage.guest(at)
        for cases in WRONG.values():
            for parts in cases:
                peer.tell(*parts)
        peer.tell(say(status_ask={}))


def wrong_bytes(stage):
    """Below the messages: what is no ZMTP, or not all of it."""
    wires = []
    for at, kind in (*((at, b'DEALER') for at in stage.fronts),
                     *((at, b'PUSH') for at in stage.pulls),
                     *((at, b'SUB') for at in stage.outs)):
        noise = Wire(at, shakes=False)
        noise.send(chance.randbytes(100_000))
        huge = Wire(at, kind)
        huge.frame(1 << 62, body=bytes(1000))
        long = Wire(at, kind)
        with contextlib.suppress(OSError):
            long.frame(8 * MB)
        wires += [noise, huge, long]
    for wire in wires:
        expect(wire.cut(), 'who sends no ZMTP or a frame over the limit goes')
        wire.close()


def endless(at, kind, size=32768):
    """Frames with MORE, until the connection is cut (Z14)."""
    frames = (b'\x03' + struct.pack('>Q', size) + bytes(size)) * (
        (1 << 19) // size)
    wire, most = Wire(at, kind), (200 if SLOW else 2000) * MB
    sent, cut = 0, False
    while not cut and sent < most:
        try:
            wire.send(frames)
            sent += len(frames)
        except OSError:
            cut = True
    wire.close()
    expect(cut or SLOW, f'{at}: took {sent // MB} MiB of one message')


def never_reads(stage, peers=8, turns=6):
    """Ask for every chunk again and again, and take nothing."""
    reader = Peer(stage.front)
    stream = reader.ask(describe={'name': 'clip'}).described.stream
    reader.close()
    wires = [Wire(stage.front) for _ in range(peers)]
    for wire in wires:
        for n in range(turns * 77):     # 20 MB are 77 chunks.
            head = say(n + 1, ask={'stream': stream,
                                   'offset': n % 77 * 256 * 1024})
            wire.send(b'\x01\0\0' + bytes([len(head)]) + head)
    return wires


def stays_alive(wire, seconds):
    """Say PING while reading nothing; False: the other end has had enough."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            wire.send(b'\x04\x07\x04PING\0\0')
        except OSError:
            return False
        time.sleep(0.2)
    return True


def refusal(answer):
    """The word of a refusal, or what came instead."""
    if answer is None or not answer.HasField('refused'):
        return answer and answer.WhichOneof('body')
    return answer.DESCRIPTOR.file.pool.FindEnumTypeByName(
        'rill.v1.Status').values_by_number[answer.refused.status].name[7:]


def strangers_join(stage):
    """Hellos that are none, and inventories of nobody."""
    peer, cluster = Peer(stage.front), stage.cluster_id()
    at = 'tcp://127.0.0.1:9'
    for wanted, wrong in (
            ('ARGUMENT', {'name': ''}), ('ARGUMENT', {'store': 0}),
            ('ARGUMENT', {'push_at': ''}), ('ARGUMENT', {'ask_at': ''}),
            ('ARGUMENT', {'name': 'x/y'}), ('ARGUMENT', {'term': 1 << 63,
                                                         'cluster': 0}),
            ('CLUSTER', {'cluster': cluster ^ 1}),
            ('FENCED', {'term': 1 << 63}),
            ('TAKEN', {'name': 'w1'}),
            *(('ADDRESS', {where: absurd}) for where in ('push_at', 'ask_at')
              for absurd in ('nonsense', 'ipc:///etc/passwd', 'inproc://watch-0',
                             'tcp://*:*', 'tcp://127.0.0.1:0', 'udp://a:1',
                             'tcp://slow.invalid:80', 'tcp://127.0.0.1:99999',
                             'tcp://127.0.0.1:1;127.0.0.1:2', 'x' * 60_000))):
        body = {'cluster': cluster, 'store': 18, 'name': 'stranger',
                'term': 0, 'push_at': at, 'ask_at': at, **wrong}
        heard = refusal(peer.ask(hello=body))
        expect(heard == wanted, f'{heard}, not {wanted}, to {str(wrong)[:80]}')
    #   A worker's own Hello, as somebody else may have heard it.
    mine = {'cluster': cluster, 'store': stage.store('w2'), 'name': 'w2',
            'push_at': at, 'ask_at': at}
    peer.tell(say(1, hello=mine))
    #   One that joins and says absurd things of what it holds.
    welcome = peer.ask(hello={'cluster': cluster, 'store': 19, 'name': 'odd',
                              'push_at': at, 'ask_at': at}).welcome
    most = (1 << 64) - 1
    for first, slots in ((most, b'\0'), (most - 3, bytes(60_000)), (0, b''),
                         (0, b'\xfe' * 60_000)):
        peer.tell(say(inventory={'session': welcome.session, 'held': [
            {'stream': most, 'epoch': most, 'settled': most,
             'runs': [{'first': first, 'slots': slots}] * (
                 1 if slots else 9000)}]}))
    for session in (0, 1, most):
        for body in ({'inventory': {'session': session}},
                     {'worker_keep': {'session': session}}):
            heard = refusal(peer.ask(**body))
            expect(heard == 'SESSION', f'{heard} to a session of nobody')
    peer.tell(say(worker_leave={'session': most}))
    peer.tell(say(worker_leave={'session': welcome.session}))
    peer.close()


def strangers_crowd(stage):
    """Ever new stores that join and go: how many were let in."""
    peer, cluster = Peer(stage.front), stage.cluster_id()
    at = 'tcp://127.0.0.1:9'
    for store in range(1000, 3000):
        answer = peer.ask(hello={'cluster': cluster, 'store': store,
                                 'name': 'odd', 'push_at': at, 'ask_at': at})
        if refusal(answer) == 'BUSY':
            break
        peer.tell(say(worker_leave={'session': answer.welcome.session}))
    peer.close()
    return store - 1000


def strangers_receipt(stage):
    """Receipts for what nobody pushed, or of nobody's session."""
    push = stage.guest(stage.receipts)
    keys = [{'stream': chance.getrandbits(64), 'epoch': 1 << 32, 'block': n,
             'slot': n % 6} for n in range(500)]
    for term in (0, 1, 2, 1 << 63):
        for store in (0, stage.store('w1')):
            push.tell(say(receipt={'term': term, 'store': store, 'stored': keys,
                                   'session': chance.getrandbits(64)}))
            push.tell(say(receipt={'term': term, 'store': store,
                                   'failed': keys, 'status': 80}))
    pull = stage.guest(stage.pull)
    for n in range(100):
        pull.tell(say(store={'term': n, 'session': n}), bytes(1000))
        pull.tell(say(store={'term': n, 'chunk': {'name': 'x' * 999}}), b'')


def strangers_send(stage):
    """Bytes of no session, over the credit, of no size; sources that open and
    say nothing; names without end, of one connection and of many."""
    before = stage.status()
    peer = Peer(stage.front, SNDHWM=0, RCVHWM=0)
    for _ in range(200):
        peer.tell(say(piece={'session': chance.getrandbits(64)}), bytes(9))
        expect(refusal(peer.hear()) == 'SESSION', 'bytes of no session')
    opened = peer.ask(open={'name': 'silent', 'kind': 2, 'token': 7}).opened
    for wanted, offset, size in (('TOO_LARGE', opened.credit, 10),
                                 ('TOO_LARGE', (1 << 64) - 1, 10),
                                 ('TOO_LARGE', 0, 0), ('OFFSET', 9, 1),
                                 ('TOO_LARGE', 0, 2 * MB)):
        peer.tell(say(piece={'session': opened.session, 'offset': offset}),
                  bytes(size))
        heard = refusal(wait_for(
            lambda: (a := peer.hear()) and a.HasField('refused') and a,
            'a piece that cannot be is refused'))
        expect(heard == wanted, f'{heard} to {size} bytes at {offset}')
    for n in range(10_000):
        peer.tell(say(n + 1, open={'name': f'n{chance.getrandbits(64):x}',
                                   'kind': 2, 'token': n + 1}))
    sessions, answered = [opened.session], 0
    while answered < 10_000 and (answer := peer.hear()):
        answered += answer.request > 0 and not answer.HasField('progress')
        if answer.HasField('opened'):
            sessions.append(answer.opened.session)
    expect(answered == 10_000, f'{answered} of 10,000 opens were answered')
    expect(len(sessions) <= 16, f'{len(sessions)} sources of one connection '
           'were let in')
    #   Each of many connections opens what it may, and is silent.
    peers = [Peer(stage.front) for _ in range(20)]
    for n, other in enumerate(peers):
        for m in range(20):
            answer = other.ask(open={'name': f'm{n}-{m}', 'kind': 2,
                                     'token': n * 100 + m + 1})
            expect(answer, 'no answer to an open')
            if answer.HasField('opened'):
                sessions.append(answer.opened.session)
            elif refusal(answer) != 'BUSY':
                raise Failed(f'an open is refused with {refusal(answer)}')
    #   Room is made after 2 s, which the stage's patience makes longer than a
    #   put itself waits.
    wait_for(lambda: stage.rill('put', stage.small, '--as', 'among').code == 0,
             'who brings something is let in')
    if SLOW:    # Their leases are ten times as long: they say that they go.
        for session in sessions:
            peer.tell(say(source_leave={'session': session}))
        expect(peer.ask(status_ask={}), 'no answer after all')
    for session in range(100):
        peer.tell(say(source_leave={'session': session}))
    peer.close()
    for other in peers:
        other.close()
    wait_for(lambda: stage.rill('put', stage.small, '--as', 'after').code == 0,
             'who says nothing makes room for a source')
    #   What was put meanwhile is all that is left.
    wait_for(lambda: stage.status()['open_streams'] <= before['open_streams'],
             'who says nothing leaves nothing')
    left = stage.status()['streams'] - before['streams']
    expect(left <= 3, f'{left} more streams are there')


def strangers_ask(stage):
    """Questions that are none, at the fronts of both."""
    most = (1 << 64) - 1
    for at, bodies in ((stage.front, (
            {'ask': {}}, {'ask': {'stream': most, 'offset': most}},
            {'describe': {}}, {'describe': {'name': '\u20ac' * 9000}},
            {'list': {'after': '~' * 50_000, 'most': (1 << 32) - 1}},
            {'list_chunks': {'stream': 1, 'from': most}},
            {'remove': {'name': 'x' * 1000}}, {'fetch': {}})),
            (stage.at['w1'], (
                {'fetch': {}}, {'fetch': {'key': {'slot': (1 << 32) - 1}}},
                {'locate': {}}, {'locate': {'stream': 1, 'time_us': -1}},
                {'scan': {'stream': most, 'epoch': most, 'block': most}},
                {'drop': {'stream': 1, 'term': 0}}, {'open': {}},
                {'hello': {}}))):
        peer = Peer(at)
        for body in bodies:
            answer = peer.ask(**body)
            expect(answer is not None, f'{at}: no answer to {body}')
        peer.close()


def thousand_say_nothing(stage):
    """Half of them not even a greeting, which go; some a frame that never
    ends."""
    wires, greeted = [], []
    for n in range(1000):
        at = (stage.fronts + stage.pulls)[n % 4]
        kind = b'DEALER' if at in stage.fronts else b'PUSH'
        wire = Wire(at, kind, shakes=n % 8 >= 4)
        if n % 8 >= 6:      # A large frame, of which a little comes.
            wire.frame(MB, body=bytes(100))
        elif n % 8 < 2:     # A greeting, one byte now and one later.
            wire.send(Wire.GREETING[:1])
        (wires if n % 8 < 4 else greeted).append(wire)
    expect(all(wire.cut() for wire in wires), 'they stay for ever')
    return greeted


def main():
    with Attacked(origin='memory: 64MiB') as stage:
        first = {name: stage.counters(name) for name in ('origin', 'w1')}
        with stage.attack('invariant 21: what is no message is refused once '
                          'at a front, and counted at every socket'):
            wrong_words(stage)
            stage.counted('origin', first['origin'],
                          messages_total_unreadable=20,
                          messages_unreadable_total_too_large=4,
                          faults_total_misplaced=4)
            stage.counted('w1', first['w1'],
                          worker_messages_received_total_unreadable=20,
                          worker_messages_total_chunks_kind=3)
        with stage.attack('who sends no ZMTP, or a frame over the limit, loses '
                          'the connection'):
            wrong_bytes(stage)
        for at, kind, name, what in (
                (stage.front, b'DEALER', 'origin', 'sockets_flooded_total'),
                (stage.receipts, b'PUSH', 'origin', 'sockets_flooded_total'),
                (stage.at['w1'], b'DEALER', 'w1', 'sockets_flooded_total'),
                (stage.pull, b'PUSH', 'w1', 'sockets_flooded_total')):
            socket_name = ('front' if at in stage.fronts else
                           'receipts' if name == 'origin' else 'pull')
            before = stage.counters(name)
            with stage.attack(f'invariant 18: an endless multipart at the '
                              f'{socket_name} of {name} does not fill the '
                              f'memory'):
                endless(at, kind)
                if not SLOW:
                    stage.counted(name, before, **{what: 1})
                stage.wait_live(*stage.names[1:])
        before = stage.counters()
        with stage.attack('invariant 21: a Hello that cannot be is refused and '
                          'says why; what a stranger holds counts nothing'):
            strangers_join(stage)
            stage.counted('origin', before, faults_total_hello_repeated=1,
                          faults_total_worker_unknown=7)
            wait_for(lambda: stage.live() == set(stage.names[1:]),
                     'the workers are in the queue, and nobody else')
        with stage.attack('invariant 18: ever new stores that say Hello do not '
                          'fill the catalogue'):
            crowd = strangers_crowd(stage)
            expect(crowd <= 1024, f'{crowd} stores were let in')
            stage.counted('origin', before, faults_total_hello_strange=1)
        with stage.attack('invariant 21: receipts of a stranger and chunks of '
                          'no session are counted, and count nothing'):
            worker = stage.counters('w1')
            strangers_receipt(stage)
            stage.counted('origin', before, faults_total_receipt_foreign=16)
            stage.counted('w1', worker,
                          worker_messages_total_chunks_old_term=100)
        with stage.attack('invariant 21: a question that cannot be is answered '
                          'all the same'):
            strangers_ask(stage)
        with stage.attack('invariant 18: 1,000 connections that say nothing '
                          'hinder nobody'):
            wires = thousand_say_nothing(stage)
        with stage.attack('invariant 18: 10,000 opens of random names are all '
                          'answered, few let in'):
            strangers_send(stage)
            stage.counted('origin', before, faults_total_session_unknown=200)
        with stage.attack('invariant 18: who asks and reads nothing is lent '
                          'little, told BUSY, and goes'):
            wires = never_reads(stage)
            wait_for(lambda: (now := stage.counters())['answers_unsent_total']
                     + now['messages_total_refused'] > before['answers_unsent_total']
                     + before['messages_total_refused'] + 100, 'it is refused')
            expect(not stays_alive(wires[0], SECONDS), 'it stays for ever')
            for wire in wires:
                wire.close()
        for name in ('origin', 'w1'):
            with stage.case(f'invariant 21: the counters of {name} add up'):
                adds_up(stage.counters(name))
                stage.wait_live(*stage.names[1:])
    end()


if __name__ == '__main__':
    main()
