"""One cache, fifty terminals, one object: what many want at once crosses the
link above once, also when the parent dies half way. The parents are stand-ins
that are as slow as they are told to be, and count what they are asked; between
them and the cache stand relays that count bytes.
"""
import collections
import contextlib
import math
import random
import struct
import threading
import time

import zmq

from stage import SECONDS, STEADY, Relay, Stage, case, end, expect, messages

Message = messages()
CHUNK, CHUNKS, TERMINALS = 64 * 1024, 16, 50
SIZE = CHUNK * CHUNKS
FIRST_S, REST_S = 0.5, 0.5      # How slow a parent is.
WORDS = 4096                    # Bytes of a chunk that are not its payload.

TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
    TABLE.append(byte)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xffffffff


class Film:
    """A sealed stream of whole chunks, as WIRE.md has it."""

    def __init__(self, seed):
        chance = random.Random(seed)
        self.name, self.stream = f'film-{seed}', chance.getrandbits(63) | 1
        self.bytes = chance.randbytes(SIZE)
        self.now_us = int(time.time() * 1e6)
        self.headers = [self.header(at) for at in range(0, SIZE, CHUNK)]

    def header(self, offset):
        block, payload = offset // CHUNK, self.bytes[offset:offset + CHUNK]
        said = dict(stream=self.stream, name=self.name, kind=1, epoch=1 << 32,
                    block=block, k=1, width=1, offset=offset, length=CHUNK,
                    created_us=self.now_us, block_us=self.now_us, writer=1,
                    payload_crc=crc32c(payload))
        name = self.name.encode()
        form = struct.pack(
            '<4sHHQQQQQQIBBBBqqQQQIHHBBBBB3xII128s256x', b'RLC1', 1, 0,
            self.stream, said['epoch'], block, 0, 0, offset, CHUNK, 0, 1, 0, 0,
            self.now_us, self.now_us, 1, 0, 0, 0, 1, 0, 1, 0, 0, len(name), 0,
            said['payload_crc'], 0, name)
        return dict(said, header_crc=crc32c(form))

    def described(self):
        return dict(stream=self.stream, name=self.name, kind=1, sealed=True,
                    stored=SIZE, settled=SIZE, size=SIZE, chunk_bytes=CHUNK,
                    created_us=self.now_us, newest_us=self.now_us,
                    now_us=self.now_us)

    def answer(self, request, offset):
        block = offset // CHUNK
        head = Message(version=1, request=request, answer={
            'chunk': self.headers[block], 'route': 5, 'watermark': SIZE,
            'sealed': True, 'now_us': self.now_us, 'head': SIZE})
        return [head.SerializeToString(),
                self.bytes[block * CHUNK:(block + 1) * CHUNK]]


class Parent:
    """What a cache has above it. It answers at once, but chunks only as a slow
    disk would: the first after FIRST_S, all of them after REST_S more. `asked`:
    how often each chunk was."""

    def __init__(self, context, film):
        self.film, self.asked = film, collections.Counter()
        self.socket, self.owed = context.socket(zmq.ROUTER), []
        self.socket.setsockopt(zmq.LINGER, 0)
        port = self.socket.bind_to_random_port('tcp://127.0.0.1')
        self.at, self.begun, self.ends = f'127.0.0.1:{port}', None, False
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def close(self):
        self.ends = True
        self.thread.join()
        self.socket.close()

    def serve(self):
        while not self.ends:
            wait = self.owed[0][0] - time.monotonic() if self.owed else 0.05
            if self.socket.poll(max(0, min(wait, 0.05)) * 1000):
                *path, head = self.socket.recv_multipart()
                self.hear(path, Message.FromString(head))
            while self.owed and self.owed[0][0] <= time.monotonic():
                _, path, parts = self.owed.pop(0)
                self.socket.send_multipart([*path, *parts])

    def say(self, path, request, **body):
        self.socket.send_multipart([*path, Message(
            version=1, request=request, **body).SerializeToString()])

    def hear(self, path, message):
        if message.HasField('describe'):
            self.say(path, message.request, described=self.film.described())
        if not message.HasField('ask'):
            return
        self.asked[message.ask.offset // CHUNK] += 1
        now = time.monotonic()
        self.begun = self.begun or now
        nth = min(sum(self.asked.values()), CHUNKS)
        self.owed.append((max(now, self.begun + FIRST_S + REST_S * nth / CHUNKS),
                          path, self.film.answer(message.request,
                                                 message.ask.offset)))


class Terminal:
    """It wants the whole film, by asking for each chunk or by watching."""

    def __init__(self, context, at):
        self.socket, self.got, self.first = context.socket(zmq.DEALER), {}, None
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(f'tcp://{at}')

    def say(self, request=1, **body):
        self.socket.send_multipart([b'', Message(
            version=1, request=request, **body).SerializeToString()])

    def begin(self, film, watches):
        if watches:
            self.say(watch={'name': film.name, 'start': True, 'credit': SIZE})
            return
        for offset in range(0, SIZE, CHUNK):
            self.say(offset + 1, ask={'stream': film.stream, 'offset': offset,
                                      'budget_ms': 30_000})

    def hear(self, film):
        _, head, *payload = self.socket.recv_multipart()
        message = Message.FromString(head)
        kind = message.WhichOneof('body')
        expect(kind in ('answer', 'watched', 'flow', 'over'),
               f'a terminal is told {message}')
        if kind in ('answer', 'flow'):
            self.first = self.first or time.monotonic()
            chunk = getattr(message, kind).chunk
            expect(chunk.offset not in self.got, f'{chunk.offset} comes twice')
            expect(payload[0] == film.bytes[chunk.offset:][:chunk.length],
                   f'other bytes at {chunk.offset}')
            self.got[chunk.offset] = len(payload[0])

    def whole(self):
        return sum(self.got.values()) == SIZE


def crowd(stage, film, watches, relays, dies):
    """All of them at once; `dies`: when the first parent has sent half of a
    chunk behind the half it is cut off. Seconds to the slowest first byte and
    to the end, and who has all of it."""
    if dies:
        relays[0].let(down=relays[0].passed['down'] + WORDS
                      + SIZE // 2 + CHUNK // 2)
    context = zmq.Context()
    poller, by_socket = zmq.Poller(), {}
    for _ in range(TERMINALS):
        one = Terminal(context, stage.at['c1'])
        by_socket[one.socket] = one
        poller.register(one.socket, zmq.POLLIN)
    begun = time.monotonic()
    for one in by_socket.values():
        one.begin(film, watches)
    while time.monotonic() < begun + SECONDS \
            and not all(t.whole() for t in by_socket.values()):
        for socket, _ in poller.poll(20):
            by_socket[socket].hear(film)
        if dies and relays[0].passed['down'] == relays[0].most['down']:
            relays[0].cut()
            dies = False
    took = time.monotonic() - begun
    context.destroy(0)
    firsts = [t.first - begun if t.first else math.inf
              for t in by_socket.values()]
    return max(firsts), took, sum(t.whole() for t in by_socket.values())


def coalesce(watches, dies):
    """One turn: two parents, a cache that holds nothing, and the crowd."""
    film = Film(2 * watches + dies + 1)
    context = zmq.Context()
    with contextlib.ExitStack() as ends:
        ends.callback(context.destroy, 0)
        parents = [Parent(context, film) for _ in range(2)]
        for parent in parents:
            ends.callback(parent.close)
        relays = [ends.enter_context(Relay(to=p.at)) for p in parents]
        stage = ends.enter_context(Stage(
            workers=1, start=False, patience=STEADY,
            groups={'region': 'parents: [origin], siblings: unicast',
                    'town': 'parents: [p1, p2], siblings: unicast'},
            caches={'p1': 'region', 'p2': 'region', 'c1': 'town'},
            p1=f'reach: {relays[0].at}', p2=f'reach: {relays[1].at}'))
        stage.start('c1')
        first, took, whole = crowd(stage, film, watches, relays, dies)
        stage.stop('c1')
        return dict(first=first, took=took, whole=whole,
                    asked=[p.asked for p in parents],
                    sent=sum(r.passed['down'] for r in relays))


WAYS = {(False, False): 'they ask for each chunk',
        (True, False): 'they watch',
        (False, True): 'they ask, and the parent dies half way',
        (True, True): 'they watch, and the parent dies half way'}


def main():
    for (watches, dies), how in WAYS.items():
        with case(f'invariant 15: of what {TERMINALS} terminals want at once '
                  f'each chunk is asked for once, all have it whole: {how}'):
            told = coalesce(watches, dies)
            #   What comes beside payload, and what was under way at the cut.
            most = SIZE + 2 * WORDS + CHUNK * dies
            expect(told['whole'] == TERMINALS, f'{told["whole"]} have it whole')
            expect(told['sent'] <= most, f'{told["sent"]} bytes came from '
                   f'above for {SIZE}')
            for asked in told['asked'][:2 if dies else 1]:
                expect(set(asked.values()) == {1}, f'chunks were asked for: '
                       f'{sorted(asked.items())}')
            expect(dies == bool(told['asked'][1]), 'of the wrong parent')
    end()


if __name__ == '__main__':
    main()
