"""What it costs that somebody listens to all events of all nodes, and reads them
or is stopped (SIGSTOP) while its queues are full: beside nobody."""
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time

from figures import Figure
from peers import ROOT, Absent, cpu_of
from put import one_file, read_in, timed

sys.path.insert(0, str(ROOT / 'tests' / 'plays'))
from hostile import Peer
from stage import BIN, Stage

NOBODY, READS, STOPPED = 'nobody', 'reads', 'stopped'
WAYS = NOBODY, READS, STOPPED
WATCHERS, ASKS, LIVE = 12, 1500, 64 << 20
PIECE, PACE = 64 << 10, 16e6    # Of what is live: bytes, and a second's.
MOST = 256 << 20
WANTED = '>= 0.97'
LISTEN = '''
import sys, zmq
socket = zmq.Context().socket(zmq.SUB)
for at in sys.argv[1:]:
    socket.connect(at)
socket.setsockopt(zmq.SUBSCRIBE, b'ev.')
socket.setsockopt(zmq.SUBSCRIBE, b'st.')
heard = set()
while True:
    topic, body = socket.recv_multipart()
    if topic.startswith(b'st.') and topic not in heard:
        heard.add(topic)
        print(len(heard), flush=True)
'''


@contextlib.contextmanager
def listening(stage, way):
    """Somebody who hears every node, or nobody."""
    if way == NOBODY:
        yield
        return
    ats = []
    for name in stage.names:
        peer = Peer(stage.at[name])
        ats.append(peer.ask(status_ask={}).report.tap_at)
        peer.close()
    process = subprocess.Popen([sys.executable, '-c', LISTEN, *ats],
                               stdout=subprocess.PIPE, text=True)
    try:
        while int(process.stdout.readline()) < len(ats):
            pass
        if way == STOPPED:
            process.send_signal(signal.SIGSTOP)
        yield
    finally:
        process.kill()
        process.wait()


def asked(stage):
    """Milliseconds of single asks for a chunk that a cache holds."""
    peer = Peer(stage.at['r1'])
    stream = peer.ask(describe={'name': 'clip'}).described.stream
    times = []
    for _ in range(ASKS):
        begun = time.perf_counter()
        if not peer.ask(ask={'stream': stream, 'offset': 0}).answer.chunk.length:
            raise Absent('an ask was refused')
        times.append((time.perf_counter() - begun) * 1e3)
    peer.close()
    times.sort()
    return statistics.median(times), times[len(times) * 99 // 100]


def fanned_out(stage, name, piece, pids):
    """CPU seconds of the nodes for a GB that reaches watchers live, and how late
    the last of them had the last byte."""
    push = stage.begin('push', name, '-')
    push.stdin.write(piece[:PIECE])
    push.stdin.flush()
    while stage.rill('stat', name, '--json').code:
        time.sleep(0.05)
    watchers = [subprocess.Popen([BIN / 'rill', 'watch', name, '--from',
                                  'start'], stdout=subprocess.DEVNULL,
                                 env=dict(os.environ, RILL_AT=stage.at['r1']))
                for _ in range(WATCHERS)]
    before, begun = cpu_of(pids), time.monotonic()
    for at in range(PIECE, len(piece), PIECE):
        time.sleep(max(0, begun + at / PACE - time.monotonic()))
        push.stdin.write(piece[at:at + PIECE])
        push.stdin.flush()
    push.stdin.close()
    ended = time.monotonic()
    if any(p.wait() for p in [push, *watchers]):
        raise Absent('the fan-out failed')
    return ((cpu_of(pids) - before) / (len(piece) * WATCHERS / 1e9),
            (time.monotonic() - ended) * 1e3)


def figures(turns, size, say=print):
    size = min(size, MOST)
    path = one_file(size)
    read_in(path)
    live = path.read_bytes()[:LIVE]
    all_of = {}

    def add(name, unit, way, value, wanted=''):
        for other in WAYS[1:]:
            figure = all_of.setdefault((name, other), Figure(
                f'{name}: a tap that {"reads" if other == READS else "is stopped"}',
                unit, other, NOBODY, wanted))
            if way in (NOBODY, other):
                figure.add(way, value)
    for turn in range(turns):
        say(f'tapped: turn {turn + 1} of {turns}')
        with Stage(workers=4, space='8GB',
                   groups={'region': 'parents: [origin], siblings: unicast'},
                   caches={'r1': 'region'}) as stage:
            env = dict(os.environ, RILL_AT=stage.at['origin'])
            pids = [p.pid for p in stage.processes.values()]
            stage.put(path, 'clip')
            fanned_out(stage, 'warm', live[:4 << 20], pids)
            asked(stage)
            for nth in range(len(WAYS)):
                way = WAYS[(turn + nth) % len(WAYS)]
                with listening(stage, way):
                    before = cpu_of(pids)
                    took, _, _ = timed([BIN / 'rill', 'put', path, '--as',
                                        'more'], env)
                    add('put', 'MB/s', way, size / took / 1e6, WANTED)
                    took, _, _ = timed([BIN / 'rill', 'get', 'more', '-o',
                                        '/dev/null'], env)
                    add('get', 'MB/s', way, size / took / 1e6, WANTED)
                    cpu, late = fanned_out(stage, f'cam-{way}', live, pids)
                    add(f'live to {WATCHERS} watchers, CPU of the nodes',
                        's/GB', way, cpu, '<= 1.03')
                    add('live, until all of them had the last byte', 'ms', way,
                        late)
                    half, most = asked(stage)
                    add('one ask of a cache, p50', 'ms', way, half)
                    add('one ask of a cache, p99', 'ms', way, most)
                    add('CPU of the nodes for all of it', 's', way,
                        cpu_of(pids) - before)
                    stage.rill('rm', 'more').expect(0)
    return list(all_of.values())


def needs(size):
    return 4 * min(size, MOST)
