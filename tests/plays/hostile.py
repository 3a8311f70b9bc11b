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
import subprocess
import sys
import tempfile
import time

import zmq

from stage import ROOT, SLOW, Stage, end, expect, wait_for

MB = 1 << 20
BUDGET = 64 * MB            # The forwarder's for open chunks
# Of a node: program, queues, index, the breaker's allowance and what comes in
# before it looks again; sanitizers keep what was freed.
MOST = {'origin': BUDGET + (900 if SLOW else 700) * MB,
        'w1': (3000 if SLOW else 900) * MB}
chance = random.Random(18)
context = zmq.Context()
context.max_sockets = 8192


def messages():
    """The contract's messages in Python, made by protoc for this run."""
    with tempfile.TemporaryDirectory(prefix='rill-protos-') as made:
        protos = [p.relative_to(ROOT / 'protocols') for p in
                  (ROOT / 'protocols/rill/v1').glob('*.proto')]
        subprocess.run(['protoc', f'--python_out={made}', '--proto_path=.',
                        *protos], cwd=ROOT / 'protocols', check=True)
        sys.path.insert(0, made)
        from rill.v1 import message_pb2
        sys.path.remove(made)
        return message_pb2.Message


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
        self.bare = kind == zmq.PUSH

    def tell(self, *parts):
        self.socket.send_multipart([*([] if self.bare else [b'']), *parts])

    def hear(self, seconds=5):
        """The next message, and its payload; None: silence."""
        if not self.socket.poll(seconds * 1000):
            return None
        return Message.FromString(self.socket.recv_multipart()[1])

    def ask(self, seconds=5, **body):
        self.tell(say(**body))
        return self.hear(seconds)

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
        self.socket = socket.create_connection((host, int(port)), 5)
        if shakes:
            ready = (b'\x05READY\x0bSocket-Type'
                     + struct.pack('>I', len(kind)) + kind)
            self.send(self.GREETING + b'\x04' + bytes([len(ready)]) + ready)
            came = b''      # Greeting and READY: before them no frame counts.
            while len(came) < 66 or len(came) < 66 + came[65]:
                came += self.socket.recv(4096) or end_of(at)

    def send(self, data):
        self.socket.sendall(data)

    def frame(self, size, more=False, body=None):
        """One long frame; `body` may be shorter than its size says."""
        self.send(bytes([2 | more]) + struct.pack('>Q', size)
                  + (bytes(size) if body is None else body))

    def readable(self):
        return select.select([self.socket], [], [], 0)[0]

    def cut(self, seconds=5):
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
        self.receipts, = listening(self.processes['origin']) - {self.front}
        self.pull, = listening(self.processes['w1']) - {self.at['w1']}
        #   Every socket that a stranger can reach, and what it is.
        self.fronts = [self.front, self.at['w1']]
        self.pulls = [self.receipts, self.pull]
        return self

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
            self.expect_same(name, self.small)
            self.expect_well()

    def expect_well(self):
        for name in self.names:
            expect(self.processes[name].poll() is None, f'{name} has ended: '
                   + self.said(name)[-2000:])
        for name, most in MOST.items():
            peak = kilobytes(self.processes[name], 'VmHWM')
            expect(peak < most, f'{name}: {peak // MB} MiB were resident')

    def counters(self, name='origin'):
        """What a node counted, by its own report."""
        peer = Peer(self.at[name])
        report = wait_for(lambda: peer.ask(status_ask={}), f'{name} reports')
        peer.close()
        return {c.name: c.value for c in report.report.counters}

    def counted(self, name, counter, before, least=1):
        """A counter grew by at least so much."""
        wait_for(lambda: self.counters(name).get(counter, 0)
                 >= before.get(counter, 0) + least,
                 f'{name} counts {least} more of {counter}')


#   What a node counts coming in, and in what it ends, once.
GROUPS = {
    'messages_in': ('messages_taken', 'messages_refused', 'messages_dropped',
                    'messages_unreadable'),
    'ask_in': ('ask_answered', 'ask_refused', 'ask_unsaid')}


def adds_up(counts):
    for whole, parts in GROUPS.items():
        if whole in counts:
            #   The question that brought the counts has not ended.
            total = 1 + sum(counts.get(part, 0) for part in parts)
            expect(counts[whole] == total, f'{whole} is {counts[whole]}, its '
                   f'parts are {total}: {counts}')


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
        peer = Peer(at, zmq.PUSH)
        for cases in WRONG.values():
            for parts in cases:
                peer.tell(*parts)
        peer.tell(say(status_ask={}))
        wait_for(lambda: not peer.socket.poll(0, zmq.POLLIN), 'sent')
        time.sleep(0.1)
        peer.close()


def wrong_bytes(stage):
    """Below the messages: what is no ZMTP, or not all of it."""
    wires = []
    for at in stage.fronts + stage.pulls:
        kind = b'DEALER' if at in stage.fronts else b'PUSH'
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


def endless(at, kind):
    """Frames of 32 KiB with MORE, until the connection is cut (Z14); a peer
    that answers heartbeats."""
    frames = (b'\x03' + struct.pack('>Q', 32768) + bytes(32768)) * 16
    wire, most = Wire(at, kind), (200 if SLOW else 2000) * MB
    sent, cut = 0, False
    while not cut and sent < most:
        try:
            wire.send(frames)
            sent += len(frames)
            while wire.readable() and (came := wire.socket.recv(4096)):
                if b'\x04PING' in came:
                    wire.send(b'\x04\x05\x04PONG')
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


def main():
    with Attacked(origin='memory: 64MiB') as stage:
        first = {name: stage.counters(name) for name in ('origin', 'w1')}
        with stage.attack('invariant 21: what is no message is refused once '
                          'at a front, and counted at every socket'):
            wrong_words(stage)
            stage.counted('origin', 'messages_unreadable', first['origin'], 20)
            stage.counted('origin', 'unreadable_too_large', first['origin'], 4)
            stage.counted('origin', 'misplaced', first['origin'], 4)
            stage.counted('w1', 'bad_in', first['w1'], 20)
            stage.counted('w1', 'store_kind', first['w1'], 3)
        with stage.attack('who sends no ZMTP, or a frame over the limit, loses '
                          'the connection'):
            wrong_bytes(stage)
        for at, kind, name, what in (
                (stage.front, b'DEALER', 'origin', 'sockets_flooded'),
                (stage.receipts, b'PUSH', 'origin', 'sockets_flooded'),
                (stage.at['w1'], b'DEALER', 'w1', 'flooded'),
                (stage.pull, b'PUSH', 'w1', 'flooded')):
            socket_name = ('front' if at in stage.fronts else
                           'receipts' if name == 'origin' else 'pull')
            before = stage.counters(name)
            with stage.attack(f'invariant 18: an endless multipart at the '
                              f'{socket_name} of {name} does not fill the '
                              f'memory'):
                endless(at, kind)
                if not SLOW:
                    stage.counted(name, what, before)
                stage.wait_live(*stage.names[1:])
        before = stage.counters()
        with stage.attack('invariant 18: who asks and reads nothing is lent '
                          'little, told BUSY, and goes'):
            wires = never_reads(stage)
            wait_for(lambda: (now := stage.counters())['answers_unsent']
                     + now['messages_refused'] > before['answers_unsent']
                     + before['messages_refused'] + 100, 'it is refused')
            expect(not stays_alive(wires[0], 30), 'it stays for ever')
            for wire in wires:
                wire.close()
        for name in ('origin', 'w1'):
            with stage.case(f'invariant 21: the counters of {name} add up'):
                adds_up(stage.counters(name))
                stage.wait_live(*stage.names[1:])
    end()


if __name__ == '__main__':
    main()
