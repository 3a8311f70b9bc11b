"""Watching a stream as it grows: WIRE.md, "A terminal watches"."""
import asyncio
import collections
import time

from .errors import RillError, refusal, status_word
from .reader import Chunk, Pause
from .v1.edge_pb2 import Stop, Watch as Words, WatchKeep
from .v1.status_pb2 import Status
from .wire import check_chunk, number

REACH = 1       # Seconds to get a connection to one of several nodes.
KEEP = 1        # Seconds between two words.
SILENCE = 3     # Seconds without an answer: go elsewhere.
PATIENCE = 30   # Seconds in which nothing came and nobody answered.
UNKNOWN = 5     # So long a stream that was there may be unknown at a node.


class Watch:
    """An asynchronous iterator of Chunks. Use it with `async with`, or end it
    with stop().

    start     'live', 'start', an offset, dict(time_us=…) or dict(back_ms=…)
    window    bytes that a node may send ahead of what was taken
    at        HOST:PORT, HOST:PORT…: watch there; None: ask for a list
    on_node   called with (node, offset) when a session begins
    """

    def __init__(self, connection, name, start='live', window=4 << 20, at=None,
                 on_node=None):
        self.connection, self.name, self.start = connection, name, start
        self.window, self.on_node = window, on_node or (lambda *_: None)
        self.given = [(a, a) for a in at] if at else None
        self.places, self.listed, self.tried = collections.deque(), [], []
        self.stream = None          # Not known yet.
        self.next = start if isinstance(start, int) else 0
        self.began = self.moved = False
        self.held = None            # The error why nothing comes now.
        self.chunks = collections.deque()   # (Chunk, bytes of payload)
        self.waiting = 0            # Bytes of payload in them.
        self.over, self.failed = False, None
        self.turned, self.heard = asyncio.Event(), asyncio.Queue()
        self.alive = time.monotonic()   # A node has answered, or we began.
        self.running = asyncio.ensure_future(self._run())

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.stop()

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self.chunks:
            if self.failed:
                raise self.failed
            if self.over:
                raise StopAsyncIteration
            self.turned.clear()
            await self.turned.wait()
        chunk, size = self.chunks.popleft()
        self.waiting -= size
        if size:
            self.heard.put_nowait(None)     # There may be credit to give.
        return chunk

    async def stop(self):
        """No more."""
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    #   Where it is watched

    async def _place(self):
        """The next (node, HOST:PORT) to try."""
        if not self.places and self.given:
            self.places.extend(self.given)
        if not self.places:
            try:
                offer = await self.connection.where(self.name, self.tried)
                self.listed = [(p.node, p.at) for p in offer.places]
            except RillError as error:
                if error.status == 'kind':      # It has no list: it is a node.
                    self.given = [(self.connection.at, self.connection.at)]
                    return self.given[0]
                if not self.began or not self.listed:
                    raise
            self.places.extend(self.listed)
            self.tried = []
        if not self.places:
            raise RillError('unreachable', 'no node is offered')
        return self.places.popleft()

    async def _run(self):
        place, pause = None, Pause(0.1)
        try:
            while not self.over:
                before = self.next
                try:
                    place = place or await self._place()
                    await self._visit(*place)
                except RillError as error:
                    self.held = error
                    if self._is_final(error):
                        raise
                    if self.next > before:
                        pause = Pause(0.1)
                    if error.status != 'session' and place:
                        self.tried.append(place[0])
                        place = None
                    await pause.take()
        except RillError as error:
            self.failed = error
        finally:
            self.turned.set()

    def _is_final(self, error):
        past = time.monotonic() - self.alive
        if past > PATIENCE:
            return True
        if error.status == 'future' or (error.status == 'unknown'
                                        and self.began and past < UNKNOWN):
            return not self.began
        if error.status == 'unreachable' and not self.began:
            return not self.places and (self.given or not self.listed)
        return error.retry == 'never' and not (
            self.began and error.status in ('malformed', 'version', 'kind',
                                            'too_large'))

    #   One session at one node

    async def _visit(self, node, at):
        connection = self.connection
        if at != connection.at:
            connection = type(self.connection)(at)
        try:
            await self._session(connection, node)
        finally:
            if connection is not self.connection:
                connection.close()

    async def _session(self, connection, node):
        request, self.heard, self.node = number(), asyncio.Queue(), node
        self.open, self.received, self.credit = False, 0, self._credit(0)
        connection.routes[request] = lambda *it: self.heard.put_nowait(it)
        try:
            await connection.say(request, reach=REACH, watch=self._words())
            await self._follow(connection, request)
        finally:
            del connection.routes[request]
            if connection.is_there:
                await connection.say(request, stop=Stop())

    def _words(self):
        words = Words(credit=self.credit)
        if self.stream is None:
            words.name = self.name
        else:
            words.stream = self.stream
        if self.began or isinstance(self.start, int):
            words.offset = self.next
        elif isinstance(self.start, dict):
            ((key, value),) = self.start.items()
            setattr(words, key, value)
        else:
            setattr(words, self.start, True)
        return words

    def _credit(self, received):
        return received + max(0, self.window - self.waiting)

    async def _follow(self, connection, request):
        """Until the stream is over; whatever else ends it is an error."""
        last = said = turned = time.monotonic()     # Its last word; ours.
        while not self.over:
            now = time.monotonic()
            #   Nobody was heard while the owner kept the loop to itself.
            if now - turned > SILENCE:
                last, self.alive = now, self.alive + now - turned
            turned = now
            credit = max(self.credit, self._credit(self.received))
            if now - said >= KEEP or credit - self.credit >= self.window / 4:
                if now - last > SILENCE:
                    raise RillError('unreachable', f'{connection.at} is silent')
                self.credit, said = credit, now
                await connection.say(request,
                                     watch_keep=WatchKeep(credit=credit))
            try:
                async with asyncio.timeout(KEEP / 4):
                    heard = await self.heard.get()
            except TimeoutError:
                if not connection.is_there:
                    raise RillError('unreachable', f'{connection.at} is gone')
                continue
            if heard:
                last = time.monotonic()
                self._hear(*heard)

    def _hear(self, message, payload, error):
        if error:
            raise error
        body = message.WhichOneof('body')
        if body == 'refused':
            return self._on_refused(message.refused)
        self.alive = time.monotonic()
        if body == 'watched' and not self.open:
            self._on_watched(message.watched)
        elif self.open and body == 'flow':
            self._on_flow(message.flow, payload)
        elif self.open and body == 'skip':
            self._expect(getattr(message.skip, 'from'))
            self._skip(message.skip.to)
        elif self.open and body == 'over':
            self._on_over(message.over)
        elif self.open and body == 'watching':
            self._expect(message.watching.at)
            self.held = None

    def _on_watched(self, watched):
        self.open, self.stream = True, watched.stream
        first = getattr(watched, 'from')
        if not self.began:
            self.began, self.moved, self.next = True, watched.moved, first
        self._skip(first)       # It is older than what is kept.
        self.held = None
        self.on_node(self.node, self.next)

    def _expect(self, offset):
        """All below it came, or something was lost: watch anew."""
        if offset > self.next:
            raise RillError('session', 'a chunk was lost on its way', 'reopen')

    def _take(self, chunk, size=0):
        self.chunks.append((chunk, size))
        self.waiting += size
        self.turned.set()

    def _skip(self, to):
        if to > self.next:
            self._take(Chunk(self.next, hole=to - self.next))
            self.next = to

    def _on_flow(self, flow, payload):
        header = flow.chunk
        check_chunk(header, payload, self.stream)
        self.received += len(payload)
        self._expect(header.offset)
        if self.received > self.credit + header.length:
            raise RillError('malformed', f'{self.node} sends over the credit')
        end = header.offset + header.length
        if end > self.next:
            data = payload[self.next - header.offset:]
            self._take(Chunk(self.next, data, header), len(payload))
            self.next = end

    def _on_over(self, over):
        if over.status != Status.STATUS_OK_UNSPECIFIED:
            raise RillError(status_word(over.status),
                            f'{self.node} cannot go on', 'elsewhere')
        self._expect(over.at)
        self.over = True

    def _on_refused(self, refused):
        error = refusal(refused)
        #   What ended meanwhile ended here.
        self.over = (self.began and error.status == 'range'
                     and self.next >= error.offset)
        if not self.over:
            raise error
