"""Fifty terminals want the same 1 MB object at the same moment, and the upstream
gives its first byte after 0.5 s and the rest over 0.5 s: healthy, and dying half
way. rill (plays/coalescing.py) beside web caches that do the same work."""
import asyncio
import os
import sys
import threading
import time

import peers
from figures import Figure

sys.path.insert(0, str(peers.ROOT / 'tests' / 'plays'))
import coalescing

SIZE, PIECES, TERMINALS = coalescing.SIZE, 16, coalescing.TERMINALS
FIRST, REST = 0.5, 0.5
BODY = os.urandom(SIZE)


class Origin:
    """An HTTP server that is slow in that manner, in a thread of its own."""

    def __init__(self, dies):
        self.dies, self.sent, self.asked = dies, 0, 0
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(ready,),
                                       daemon=True)
        self.thread.start()
        ready.wait()

    def run(self, ready):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(
            asyncio.start_server(self.serve, '127.0.0.1', 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()
        server.close()
        self.loop.run_until_complete(self.leave())
        self.loop.close()

    async def leave(self):
        asked = asyncio.all_tasks() - {asyncio.current_task()}
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    async def serve(self, reader, writer):
        try:
            while await reader.readuntil(b'\r\n\r\n'):
                await self.answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, writer):
        self.asked += 1
        first = self.asked == 1
        await asyncio.sleep(FIRST)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n'
                     b'Cache-Control: max-age=3600\r\n'
                     b'Content-Length: %d\r\n\r\n' % SIZE)
        step = SIZE // PIECES
        for n in range(PIECES):
            writer.write(BODY[n * step:(n + 1) * step])
            await writer.drain()
            self.sent += step
            if self.dies and first and n + 1 == PIECES // 2:
                writer.transport.abort()
                raise ConnectionResetError
            await asyncio.sleep(REST / PIECES)

    def end(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


async def terminal(port, begun):
    """(seconds to the first byte of the body, bytes that came right)."""
    first, got = None, b''
    try:
        reader, writer = await asyncio.open_connection('127.0.0.1', port)
        writer.write(b'GET /object HTTP/1.1\r\nHost: 127.0.0.1\r\n'
                     b'Connection: close\r\n\r\n')
        head = await asyncio.wait_for(reader.readuntil(b'\r\n\r\n'), 30)
        if b' 200 ' not in head.split(b'\r\n')[0]:
            return None, 0
        while part := await asyncio.wait_for(reader.read(1 << 16), 30):
            first = first or time.monotonic() - begun
            got += part
        writer.close()
    except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
        pass
    return first, len(got) if BODY.startswith(got) else 0


async def crowd(port):
    begun = time.monotonic()
    return await asyncio.gather(*(terminal(port, begun)
                                  for _ in range(TERMINALS)))


def web(peer, dies):
    """One turn of a web cache: (objects from above, slowest first byte,
    whole)."""
    origin = Origin(dies)
    try:
        with peer(origin.port) as cache:
            origin.asked = 0    # It may have looked whether somebody is there.
            origin.sent = 0
            told = asyncio.run(crowd(cache.port))
            firsts = [first for first, _ in told if first is not None]
            whole = sum(size == SIZE for _, size in told)
            if not firsts or not whole and not dies:
                raise peers.Absent(f'{cache.name} serves nobody: '
                                   f'{cache.said()}')
    finally:
        origin.end()
    return origin.sent / SIZE, max(firsts), whole


def ours(dies):
    told = coalescing.coalesce(True, dies)
    return told['sent'] / coalescing.SIZE, told['first'], told['whole']


WAYS = {'rill': ours,
        'nginx': lambda dies: web(lambda o: peers.nginx(o, False), dies),
        'nginx, its lock on': lambda dies: web(lambda o: peers.nginx(o, True),
                                               dies),
        'Squid': lambda dies: web(peers.squid, dies),
        'Varnish': lambda dies: web(peers.varnish, dies)}


def figures(turns, size, say=print):
    del size    # The object is the one of the design.
    found, left_out = [], set()
    for dies in (False, True):
        how = 'the upstream dies half way' if dies else 'healthy'
        sent = Figure(f'50 terminals, one object, {how}: from above', 'MiB',
                      'rill', wanted='<= 1.08' if dies else '<= 1.02')
        first = Figure(f'50 terminals, one object, {how}: slowest first byte',
                       's', 'rill', wanted='' if dies else '<= 0.6')
        whole = Figure(f'50 terminals, one object, {how}: served whole',
                       'terminals', 'rill', wanted='>= 50')
        for turn in range(turns):
            say(f'crowd, {how}: turn {turn + 1} of {turns}')
            for who, way in WAYS.items():
                if who in left_out:
                    continue
                try:
                    told = way(dies)
                except peers.Absent as why:
                    say(f'left out: {who}: {why}')
                    left_out.add(who)
                    continue
                for figure, value in zip((sent, first, whole), told):
                    figure.add(who, value)
        found += [sent, first, whole]
    for figure in found:
        for who in left_out:
            figure.samples.pop(who, None)
    return found


def needs(size):
    del size
    return 100 << 20
