"""One node, asked over one DEALER."""
import asyncio
import re

import zmq
import zmq.asyncio

from .errors import RillError, refusal
from .reader import read
from .source import Source
from .tap import Tap
from .v1.chunk_pb2 import Kind
from .v1.director_pb2 import Where
from .v1.edge_pb2 import Describe, List, StatusAsk
from .watch import Watch
from .wire import PAYLOAD_BYTES, Unreadable, number, pack, unpack

REACH = 3       # Seconds to get a connection,
ANSWER = 15     # and an answer once there is one.


def endpoint(at):
    """tcp:// of HOST:PORT; a worker is told of as that."""
    at = at.removeprefix('tcp://')
    found = re.fullmatch(r'([^\s/:]+|\[[0-9a-fA-F:.%\w]+\]):(\d{1,5})', at)
    if not found or not 0 < int(found[2]) < 65536:
        raise RillError('address', f'"{at}" is not HOST:PORT')
    return f'tcp://{at}'


class _Socket(zmq.asyncio.Socket):
    """pyzmq looks at a socket once more in its loop's next turn, also when it
    was closed meanwhile; then the loop would tell of an error."""

    def _handle_events(self, *what):
        if not self.closed:
            super()._handle_events(*what)


def open_socket(kind, ats):
    """A socket that is bounded and waits for nobody at its end."""
    socket = _Socket(zmq.asyncio.Context.instance(), kind)
    socket.linger, socket.maxmsgsize = 1000, PAYLOAD_BYTES
    socket.handshake_ivl, socket.connect_timeout = 3000, 3000
    socket.reconnect_ivl, socket.reconnect_ivl_max = 50, 1000
    socket.tcp_keepalive, socket.tcp_keepalive_idle = 1, 2
    socket.tcp_keepalive_intvl, socket.tcp_keepalive_cnt = 2, 4
    #   What is said waits for a connection, and is not said to one that broke.
    socket.immediate = True
    for at in ats:
        socket.ipv6 = at.startswith('tcp://[')
        socket.connect(at)
    return socket


class Connection:
    """Made by connect(). One event loop uses it; close() ends it."""

    def __init__(self, at):
        self.at, self.unread = at, 0    # `unread`: messages that were wrong.
        self.socket = open_socket(zmq.DEALER, [endpoint(at)])
        self.routes, self.sessions = {}, {}
        self.hearing = asyncio.get_running_loop().create_task(self._hear())

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()

    def close(self):
        self.hearing.cancel()
        self.socket.close()

    #   What all who talk over it use

    @property
    def is_there(self):
        """Whether something that is said now has a way to go."""
        return bool(self.socket.get(zmq.EVENTS) & zmq.POLLOUT)

    async def say(self, request, payload=None, reach=REACH, **body):
        """Say it, once there is a connection."""
        sent = self.socket.send_multipart(pack(request, payload, **body))
        try:
            async with asyncio.timeout(reach):
                await sent
        except TimeoutError:
            raise RillError('unreachable', f'nobody answers at {self.at}') \
                from None

    async def ask(self, seconds=ANSWER, **body):
        """Ask, and wait for (message, payload)."""
        request, heard = number(), asyncio.Queue()
        self.routes[request] = lambda *what: heard.put_nowait(what)
        try:
            await self.say(request, **body)
            message, payload, error = await self._await(heard, seconds)
        finally:
            del self.routes[request]
        if error:
            raise error
        if message.HasField('refused'):
            raise refusal(message.refused)
        return message, payload

    async def _await(self, heard, seconds):
        while seconds > 0:
            try:
                async with asyncio.timeout(min(REACH, seconds)):
                    return await heard.get()
            except TimeoutError:
                seconds -= REACH
            if not self.is_there:
                raise RillError('unreachable', f'{self.at} is gone')
        raise RillError('late', f'{self.at} does not answer')

    async def _hear(self):
        while True:
            frames = await self.socket.recv_multipart()
            message = payload = error = None
            try:
                message, payload = unpack(frames)
                request = message.request
            except Unreadable as wrong:
                self.unread += 1
                request, error = wrong.request, wrong.error
            route = self.routes.get(request)
            #   A Progress bears the number of the last SourceKeep, if any.
            if message and message.HasField('progress'):
                route = self.sessions.get(message.progress.session)
            if route:
                route(message, payload, error)
            elif error and not request:
                for route in list(self.routes.values()):
                    route(None, None, error)

    #   Questions

    async def list(self):
        """Every stream, as Described, by name."""
        after, more = '', True
        while more:
            message, _ = await self.ask(list=List(after=after))
            for stream in message.listing.streams:
                yield stream
                after = stream.name
            more = message.listing.more and len(message.listing.streams) > 0

    async def describe(self, name):
        """What is this stream? Described."""
        message, _ = await self.ask(describe=Describe(name=name))
        return message.described

    async def report(self, start=0):
        """How is the node? Report."""
        message, _ = await self.ask(status_ask=StatusAsk(**{'from': start}))
        return message.report

    async def where(self, name, leave_out=()):
        """The caches to watch at, the best first. Offer."""
        question = Where(name=name, watch=True)
        getattr(question, 'not').extend(leave_out)
        message, _ = await self.ask(where=question)
        return message.offer

    #   Streams

    async def publish(self, name, kind='live', **more):
        """A Source that is open: see source.py for `more`."""
        if kind not in ('live', 'recorded'):
            raise ValueError(f'kind "{kind}" is not live or recorded')
        source = Source(self, name, Kind.Value(f'KIND_{kind.upper()}'), **more)
        await source.open()
        return source

    def read(self, name, start=None, end=None):
        """Chunks of [start, end): an asynchronous generator."""
        return read(self, name, start, end)

    def watch(self, name, start='live', **more):
        """A Watch: see watch.py for `start` and `more`."""
        return Watch(self, name, start, **more)

    async def tap(self, kinds=()):
        """A Tap of all nodes that this one names."""
        tap = Tap(self, kinds)
        await tap.open()
        return tap


async def connect(at):
    """A Connection to the node at HOST:PORT. Whether anybody is there shows
    with the first question."""
    return Connection(at)
