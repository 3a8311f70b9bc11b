"""What one cache gives: to 16 terminals as fast as they take it, beside nginx's
cache and a bare ROUTER; live to 200 terminals, beside nginx-rtmp. All terminals
are of the same program (terminals.c)."""
import contextlib
import http.server
import os
import threading
import urllib.request

import peers
from figures import Figure
from terminals import live_source, measured, region, spawned

from stage import BIN, stored

TAKERS, TAKEN, TAKE_S = 16, 64 << 20, 2
SIZES = 256 << 10, 1 << 20
VIEWERS, LIVE_S = 200, 10
LIVE_CHUNK, LIVE_MS = 64 << 10, 131    # 4 Mbit/s
CLIP_S = 12


#   As fast as they take it

class Objects(http.server.BaseHTTPRequestHandler):
    """What nginx's cache is filled from."""
    protocol_version, body = 'HTTP/1.1', b''

    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', str(len(self.body)))
        self.send_header('Cache-Control', 'max-age=3600')
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def objects(size):
    """Its port."""
    of = type('Of', (Objects,), {'body': os.urandom(size)})
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), of) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextlib.contextmanager
def nginx(size, workers):
    count = TAKEN // size
    with objects(size) as origin, peers.nginx(origin, False,
                                              workers) as cache:
        for n in range(count):    # Now all are cached.
            urllib.request.urlopen(f'http://127.0.0.1:{cache.port}/{n}').read()
        yield [f'http:{TAKERS}:127.0.0.1:{cache.port}:{count}'], cache.cpu


@contextlib.contextmanager
def router(size):
    port = peers.free_port()
    with peers.folder() as home, peers.running(
            'bare router', [BIN / 'bench-bare', 'router', port, size,
                            TAKEN // size], home, port) as peer:
        yield [f'credit:{TAKERS}:127.0.0.1:{port}:-'], peer.cpu


@contextlib.contextmanager
def ours(stage, size):
    name = f'clip-{size}'
    if not stored(stage, name):
        stage.rill('put', stage.file(name, TAKEN), '--as', name, '--chunk',
                   size).expect(0)
    yield [f'again:{TAKERS}:{stage.at["r1"]}:{name}'], \
        lambda: peers.cpu_of([stage.processes['r1'].pid])


def taken(stage, turns, say):
    found = []
    for size in SIZES:
        of = f'{TAKERS} terminals as fast as they take it, {size >> 10} KiB'
        rate = [Figure(f'{of}: beside {who}', 'MB/s', 'rill', who, '>= 0.95')
                for who in ('nginx', 'ROUTER')]
        cpu = Figure(f'{of}: CPU of the server', 's/GB', 'rill', 'nginx',
                     '<= 1')
        ways = {'rill': ours(stage, size), 'nginx': nginx(size, 1),
                'nginx, a worker a core': nginx(size, 'auto'),
                'ROUTER': router(size)}
        for who, told, spent in measured(f'fanout, {size >> 10} KiB', ways,
                                         TAKE_S, turns, say):
            for figure in rate:
                if who == 'rill' or who.startswith(figure.beside):
                    figure.add(who,
                               told['bytes'][0] / 1e6 / told['seconds'])
            cpu.add(who, spent / (told['bytes'][0] / 1e9))
        found += [*rate, cpu]
    return found


#   Live

@contextlib.contextmanager
def live_rill(stage):
    """A cache that has the stream from the origin."""
    with live_source(stage, LIVE_CHUNK, LIVE_MS):
        yield [f'live:{VIEWERS}:{stage.at["r1"]}:cam'], \
            lambda: peers.cpu_of([stage.processes['r1'].pid])


def clip(home):
    """4 Mbit/s of picture and sound, as a camera sends it."""
    path = home / 'clip.flv'
    peers.ran('ffmpeg', '-v', 'error', '-f', 'lavfi', '-i',
              'testsrc2=s=1280x720:r=25', '-f', 'lavfi', '-i', 'sine=b=4', '-t',
              CLIP_S, '-c:v', 'libx264', '-preset', 'ultrafast', '-g', '50',
              '-b:v', '3840k', '-minrate', '3840k', '-maxrate', '3840k',
              '-bufsize', '3840k', '-x264-params', 'nal-hrd=cbr', '-c:a', 'aac',
              '-b:a', '128k', '-ar', '44100', path)
    return path


@contextlib.contextmanager
def live_rtmp():
    """An edge that has the stream from its origin."""
    with peers.folder() as home, peers.rtmp() as origin, \
            peers.rtmp(origin.port) as edge, \
            spawned(peers.program('ffmpeg'), '-v', 'quiet', '-re',
                    '-stream_loop', '-1', '-i', clip(home), '-c', 'copy', '-f',
                    'flv', f'rtmp://127.0.0.1:{origin.port}/live/cam'):
        yield [f'rtmp:{VIEWERS}:127.0.0.1:{edge.port}:cam'], edge.cpu


def live(stage, turns, say):
    of = f'{VIEWERS} terminals live at 4 Mbit/s: CPU of the edge, by terminal'
    cpu = Figure(of, '% of a core', 'rill', 'nginx-rtmp', '<= 0.8',
                 'the figure of the design for nginx-rtmp is 0.062')
    rate = Figure(f'{VIEWERS} terminals live: each has', 'Mbit/s', 'rill')
    ways = {'rill': live_rill(stage), 'nginx-rtmp': live_rtmp()}
    for who, told, spent in measured('fanout, live', ways, LIVE_S, turns, say):
        cpu.add(who, 100 * spent / told['seconds'] / VIEWERS)
        rate.add(who, told['bytes'][0] * 8e-6 / told['seconds'] / VIEWERS)
    return [cpu, rate]


def figures(turns, size, say=print):
    del size    # The design names what is taken.
    with region('r1') as stage:
        return taken(stage, turns, say) + live(stage, turns, say)


def needs(size):
    del size
    return 2 << 30
