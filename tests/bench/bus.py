"""From the forwarder to a worker: beside raw TCP, fio, JetStream and Redis.

The deal is chunks over the bus with no disk behind it. Durable is until the
receipt, which a worker gives after fdatasync; fio writes and syncs as much to a
file, JetStream answers before its file is synced, Redis after.
"""
import os
import re
import socket
import time

from figures import Figure
from peers import ROOT, Absent, folder, jetstream, redis
from put import client, one_file, read_in, timed
from store import fio

FLYING = 16 << 20    # Bytes that wait for their receipts or answers,
JETSTREAM = 64 << 20    # and what JetStream is given, which it is faster with.
NAMES = 64    # Under so many Redis stores the chunks, in turn.


def bus(what, chunk, size, flying=1, home='/tmp'):
    """What bench-bus prints: (MB/s, CPU seconds per GB of both sides)."""
    _, _, out = timed([ROOT / 'build/release/bin/bench-bus', what, chunk >> 10,
                       size >> 20, flying, home])
    told = re.fullmatch(r'([\d.]+) MB/s ([\d.]+) s/GB\n', out)
    if not told:
        raise Absent(f'bench-bus said {out}')
    return float(told[1]), float(told[2])


def in_jetstream(go, path, chunk, size, flying):
    """MB/s, its answers counted, and CPU seconds per GB with its client."""
    with jetstream() as nats:
        os.sync()
        before = nats.cpu()
        _, own, out = timed([go, 'put', f'127.0.0.1:{nats.port}', path, chunk,
                             flying])
        cpu = own + nats.cpu() - before
    return size / float(out) / 1e6, cpu / (size / 1e9)


def in_redis(chunk, size):
    """MB/s of SETs, answered when its file was synced, and CPU s/GB with us."""
    payload = os.urandom(chunk)
    with redis() as peer, \
            socket.create_connection(('127.0.0.1', peer.port), 60) as at:
        os.sync()
        count, most = size // chunk, FLYING // chunk
        answers = b''
        begun, before = time.monotonic(), time.process_time() + peer.cpu()
        for nth in range(count):
            name = b'%02d' % (nth % NAMES)
            at.sendall(b'*3\r\n$3\r\nSET\r\n$2\r\n%s\r\n$%d\r\n' % (name, chunk))
            at.sendall(payload)
            at.sendall(b'\r\n')
            while len(answers) // 5 + most <= nth:
                answers += at.recv(4096)
        while len(answers) // 5 < count:
            answers += at.recv(4096)
        took = time.monotonic() - begun
        cpu = time.process_time() + peer.cpu() - before
    if answers != b'+OK\r\n' * count:
        raise Absent(f'redis-server said {answers[:200]!r}')
    return size / took / 1e6, cpu / (size / 1e9)


class Measured:
    """The figures of one size of chunks, and one turn of them."""

    def __init__(self, chunk, size):
        of = f'chunks of {chunk >> 10} KiB'
        rate = 'MB/s'
        self.chunk, self.size = chunk, size
        self.deal = Figure(f'the deal alone, {of}', rate, 'rill', 'raw TCP',
                           '>= 0.90')
        self.deal_cpu = Figure(f'the deal alone, {of}: CPU of both sides',
                               's/GB', 'rill', 'raw TCP')
        self.durable = Figure(f'durable, {of}', rate, 'rill',
                              'slower of bus and fio', '>= 0.80')
        self.cpu = Figure(f'durable, {of}: CPU of both sides', 's/GB', 'rill',
                          wanted='<= 0.8')
        self.nats = Figure(f'durable, {of}, beside JetStream', rate, 'rill',
                           'JetStream', '>= 2.5',
                           'JetStream answers before its disk has it')
        self.one = Figure(f'durable, {of}, one in flight', rate, 'rill',
                          'JetStream', '>= 0.6',
                          'JetStream answers before its disk has it, fio waits')
        self.redis = Figure(f'durable, {of}, beside Redis', rate, 'rill',
                            'Redis, AOF always', '>= 6')

    def all(self):
        found = [self.deal, self.deal_cpu, self.durable, self.cpu, self.nats,
                 self.one]
        return found + ([self.redis] if self.chunk == 256 << 10 else [])

    def turn(self, peers, path, short):
        chunk, size = self.chunk, self.size
        raw, raw_cpu = bus('raw', chunk, size)
        dealt, dealt_cpu = bus('deal', chunk, size)
        self.deal.add('raw TCP', raw)
        self.deal.add('rill', dealt)
        self.deal_cpu.add('raw TCP', raw_cpu)
        self.deal_cpu.add('rill', dealt_cpu)
        with folder() as home:
            os.sync()
            rate, cpu = bus('durable', chunk, size, FLYING // chunk, home)
            os.sync()
            alone, _ = bus('durable', chunk, short_of(size), 1, home)
        self.durable.add('rill', rate)
        self.cpu.add('rill', cpu)
        self.nats.add('rill', rate)
        self.one.add('rill', alone)
        self.redis.add('rill', rate)

        def beside_fio():
            with folder() as home:
                written, cpu, *_ = fio(home, chunk, size)
                one, *_ = fio(home, chunk, short_of(size), 1, chunk)
            self.durable.add('slower of bus and fio', min(dealt, written))
            self.one.add('fio, one, synced', one)
            self.cpu.add('fio', cpu)

        def beside_nats():
            rate, cpu = in_jetstream(peers.go, path, chunk, size,
                                     JETSTREAM // chunk)
            self.nats.add('JetStream', rate)
            self.cpu.add('JetStream', cpu)
            self.one.add('JetStream', in_jetstream(
                peers.go, short, chunk, short_of(size), 1)[0])

        def beside_redis():
            rate, cpu = in_redis(chunk, short_of(size))
            self.redis.add('Redis, AOF always', rate)
            self.cpu.add('Redis', cpu)
        peers.ask('fio', beside_fio)
        peers.ask('JetStream', beside_nats)
        if chunk == 256 << 10:
            peers.ask('Redis', beside_redis)


def short_of(size):
    """Of what is slow: enough for a rate."""
    return size // 4


class Peers:
    """Who can be had; who once could not is not asked again."""

    def __init__(self, say):
        self.say, self.gone, self.go = say, set(), None
        self.ask('JetStream', self.build)

    def build(self):
        self.go = client()

    def ask(self, name, measure):
        if name in self.gone:
            return
        try:
            measure()
        except Absent as why:
            self.say(f'left out: {name}: {why}')
            self.gone.add(name)


def figures(turns, size, say=print):
    size //= 4
    path, short = one_file(size), one_file(short_of(size))
    peers = Peers(say)
    measured = [Measured(chunk, size) for chunk in (256 << 10, 1 << 20)]
    for turn in range(turns):
        say(f'bus: turn {turn + 1} of {turns}')
        for one in measured:
            read_in(path)
            read_in(short)
            one.turn(peers, path, short)
    return [figure for one in measured for figure in one.all()]


def needs(size):
    return 2 * size
