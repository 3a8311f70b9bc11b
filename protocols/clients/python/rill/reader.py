"""Reading a range of a stream that is there."""
import asyncio
import dataclasses
import time

from .errors import RillError
from .v1.edge_pb2 import Ask
from .wire import check_chunk

WINDOW = 16 * 1024 * 1024   # Bytes that are asked for ahead.
ASK = 5                     # Seconds until an ask is asked again.
PATIENCE = 30               # Seconds in which nothing came.


@dataclasses.dataclass
class Chunk:
    """`data` is at `offset`; or a hole of so many bytes is there."""
    offset: int
    data: bytes = b''
    header: object = None   # ChunkHeader of the chunk that they are of.
    hole: int = 0


class Pause:
    """Seconds that grow while the same thing is tried again."""

    def __init__(self, least=0.02, most=1):
        self.next, self.most = least, most

    async def take(self):
        seconds, self.next = self.next, min(self.most, 2 * self.next)
        await asyncio.sleep(seconds)


async def ask_chunk(connection, stream, offset):
    """The chunk that covers `offset`, or a hole from there."""
    pause, left, begun = Pause(), PATIENCE, time.monotonic()
    while True:
        try:
            message, data = await connection.ask(
                ASK, ask=Ask(stream=stream, offset=offset))
            header = message.answer.chunk
            check_chunk(header, data or b'', stream)
            if header.offset <= offset < header.offset + header.length:
                return Chunk(header.offset, data, header)
            raise RillError('corrupt', 'an answer came to another question')
        except RillError as error:
            if error.status == 'range' and error.offset > offset:
                return Chunk(offset, hole=error.offset - offset)
            #   While our owner keeps us from hearing the clock runs on: a try
            #   counts as long as it lasts at most.
            now = time.monotonic()
            left -= min(now - begun, ASK + pause.most)
            begun = now
            if error.retry == 'never' or left <= 0 \
                    or error.status in ('future', 'unreachable'):
                raise
        await pause.take()


async def read(connection, name, start, end):
    told = await connection.describe(name)
    start = told.first if start is None else start
    end = end if end is not None else told.size if told.sealed else told.stored
    end = max(end, start + 1) if end < start else end   # It is refused there.
    step = told.chunk_bytes or 256 * 1024
    asks, ahead = [], start     # Tasks by offset, in order; where to go on.

    def begin(offset):
        return offset, asyncio.ensure_future(
            ask_chunk(connection, told.stream, offset))
    try:
        while start < end:
            while ahead < end and (len(asks) < 2 or
                                   len(asks) < min(16, WINDOW // step)):
                asks.append(begin(ahead))
                ahead += step
            while asks and asks[0][0] < start:          # It has come already.
                asks.pop(0)[1].cancel()
            if not asks or asks[0][0] > start:      # A gap was left open.
                asks.insert(0, begin(start))
            chunk = await asks[0][1]
            asks.pop(0)
            step = len(chunk.data) or step
            reach = min(end, chunk.offset + (chunk.hole or len(chunk.data)))
            if chunk.hole:
                yield Chunk(start, hole=reach - start)
            else:
                yield Chunk(start, chunk.data[start - chunk.offset:
                                              reach - chunk.offset],
                            chunk.header)
            start, ahead = reach, max(ahead, reach)
    finally:
        for _, ask in asks:
            ask.cancel()
        await asyncio.gather(*[ask for _, ask in asks],
                             return_exceptions=True)
