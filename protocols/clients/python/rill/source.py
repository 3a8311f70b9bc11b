"""Bringing bytes: WIRE.md, "A source brings bytes"."""
import asyncio
import collections
import contextlib
import time

from .errors import RillError, refusal
from .reader import Pause
from .v1.chunk_pb2 import Protection
from .v1.ingest_pb2 import Finish, Open, Piece, SourceKeep, SourceLeave
from .wire import PIECE_BYTES, number

KEEP = 1        # Seconds between two words, at most.
SILENCE = 2     # Seconds without an answer: open again.
PATIENCE = 30   # Seconds in which nobody answers: give up.


class Source:
    """Made by Connection.publish(), open. Use it with `async with`: at the end
    it is finished, or left when there was an error.

    protect      (k, m); None: rill chooses
    strict       refuse rather than protect less
    chunk_bytes  0: rill chooses
    token        of a source that goes on; None: a new one
    """

    def __init__(self, connection, name, kind, protect=None, strict=False,
                 chunk_bytes=0, token=None):
        self.connection, self.token = connection, token or number()
        code = Protection(k=protect[0], m=protect[1]) if protect else None
        self.words = Open(name=name, kind=kind, token=self.token, strict=strict,
                          chunk_bytes=chunk_bytes, protection=code)
        self.stream = self.begin = None
        self.offset = 0             # Of the next byte to be written.
        self.stored = self.settled = 0
        self.held = None            # The error why nothing moves now.
        self.sealed = False         # Complete, settled, over.
        self.session = self.request = self.kept = 0
        self.sent = self.credit = self.kept_sent = 0
        self.pieces = collections.deque()   # (offset, bytes), not yet stored.
        self.ending, self.told, self.failed = False, False, None
        self.trouble, self.again = None, Pause(0.05, 0.4)
        self.heard = self.said = 0
        self.turned = asyncio.Event()       # Something is new.
        self.wake, self.running = asyncio.Event(), None

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, *_):
        await (self.leave() if kind else self.finish())

    #   What its owner says

    async def open(self):
        """Until it is open, or refused."""
        self.running = asyncio.ensure_future(self._run())
        await self._until(lambda: self.stream is not None)

    async def write(self, data):
        """Give the next bytes; waits until there is credit for them."""
        data = memoryview(bytes(data))
        while data:
            await self._until(lambda: self.offset < self.credit)
            #   Pieces that are aligned are passed on without a copy.
            room = self.chunk - (self.offset - self.begin) % self.chunk
            size = min(len(data), self.credit - self.offset, room, PIECE_BYTES)
            self.pieces.append((self.offset, data[:size]))
            self.offset, data = self.offset + size, data[size:]
            self._turn()

    async def finish(self):
        """Seal it; returns when all of it is settled."""
        self.ending = True
        self._turn()
        await self._until(lambda: self.sealed)
        await self._end()

    async def leave(self):
        """Go; the stream stays open for the same token."""
        running = not self.running.done()
        await self._end()
        if running and self.session and not self.sealed:
            await self.connection.say(
                self.request, source_leave=SourceLeave(session=self.session))

    async def _end(self):
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        self._unroute()

    async def _until(self, true_thing):
        while not true_thing():
            if self.failed:
                raise self.failed
            self.turned.clear()
            await self.turned.wait()

    #   What goes on meanwhile

    def _turn(self):
        self.turned.set()
        self.wake.set()

    async def _run(self):
        silent = time.monotonic() + PATIENCE
        try:
            while not self.sealed:
                try:
                    await self._session()
                    return
                except RillError as error:
                    self.held, silent = error, self._judge(error, silent)
                await self.again.take()
        except RillError as error:
            self.failed = error
        finally:
            self._turn()

    def _judge(self, error, silent):
        """Raise what cannot be mended; returns when patience ends."""
        said = error.status not in ('unreachable', 'late')
        if said and error.retry == 'never' and error.status != 'fenced':
            raise error
        now = time.monotonic()
        silent = max(silent, self.heard + PATIENCE)
        if said or self.heard + SILENCE > now:
            return now + PATIENCE
        if now > silent or (self.stream is None
                            and error.status == 'unreachable'):
            raise error
        return silent

    async def _session(self):
        """Open, and go on until it is sealed or something goes wrong."""
        self._unroute()
        self.request, self.trouble = number(), None
        self.connection.routes[self.request] = self._on_message
        self.session, self.kept, self.told = 0, 0, False
        await self.connection.say(self.request, open=self.words)
        self.said = asked = time.monotonic()
        while not self.sealed:
            self.wake.clear()
            if self.trouble:
                raise self.trouble
            if self.session:
                await self._send()
            now = time.monotonic()
            if now - max(asked, self.heard) > SILENCE:
                raise RillError('late', f'{self.connection.at} is silent')
            if self.session and now - self.said >= KEEP:
                await self._keep()
                asked = asked if asked > self.heard else now
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KEEP / 4):
                    await self.wake.wait()

    async def _send(self):
        """Everything that there is credit for, then the end."""
        for offset, data in list(self.pieces):
            while self.sent < offset + len(data):
                if self.trouble or self.sent >= self.credit:
                    return
                part = data[self.sent - offset:self.credit - offset]
                await self.connection.say(self.request, part, piece=Piece(
                    session=self.session, offset=self.sent))
                self.sent += len(part)
        if self.ending and not self.told and self.sent == self.offset:
            await self._keep()

    async def _keep(self):
        """A question that Progress answers: has all come that was sent?"""
        self.connection.routes.pop(self.kept, None)
        self.kept, self.kept_sent = number(), self.sent
        self.connection.routes[self.kept] = self._on_message
        self.said = time.monotonic()
        if self.ending and self.sent == self.offset:
            self.told = True
            body = dict(finish=Finish(session=self.session, offset=self.sent))
        else:
            body = dict(source_keep=SourceKeep(session=self.session))
        await self.connection.say(self.kept, **body)

    #   What comes

    def _on_message(self, message, payload, error):
        self.heard = time.monotonic()
        if error:
            self.trouble = error
        elif message.HasField('refused'):
            self.trouble = refusal(message.refused)
        elif message.HasField('opened'):
            self._on_opened(message.opened)
        elif message.HasField('progress'):
            self._on_progress(message.request, message.progress)
        self._turn()

    def _on_opened(self, opened):
        if opened.begin > opened.offset or not opened.chunk_bytes:
            self.trouble = RillError('malformed', 'an Opened came that cannot '
                                     'be')
            return
        if self.stream is None:
            self.begin, self.offset = opened.begin, opened.offset
            self.chunk = min(opened.chunk_bytes, PIECE_BYTES)
        elif opened.begin != self.begin or not (
                (self.pieces or [(self.offset,)])[0][0] <= opened.offset
                <= self.offset):
            self.trouble = RillError('offset', 'it cannot go on there: another '
                                     'source with this token has written',
                                     'never', opened.offset)
            return
        self.stream, self.session = opened.stream, opened.session
        self.sent, self.credit = opened.offset, opened.credit
        self.connection.sessions[self.session] = self._on_message
        self.held = None
        self._let_go(opened.offset)
        self.sealed = opened.sealed

    def _on_progress(self, request, told):
        if told.session != self.session:
            return
        self._let_go(told.stored)
        self.settled = max(self.settled, told.settled)
        self.credit = max(self.credit, told.credit)
        self.held = RillError('held', 'nothing moves now', 'later') \
            if told.held else None
        if request == self.kept and told.received < self.kept_sent:
            self.trouble = RillError('offset', 'a piece was lost', 'reopen')
        self.sealed = (self.ending and told.sealed
                       and told.settled == self.offset)

    def _let_go(self, stored):
        """What is stored need not be kept; the pause begins anew with it."""
        if stored > self.stored:
            self.stored, self.again = stored, Pause(0.05, 0.4)
        while self.pieces and \
                self.pieces[0][0] + len(self.pieces[0][1]) <= stored:
            self.pieces.popleft()

    def _unroute(self):
        for request in (self.request, self.kept):
            self.connection.routes.pop(request, None)
        self.connection.sessions.pop(self.session, None)
