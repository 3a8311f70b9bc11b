"""What a session costs: two thousand at one cache beside twenty that are given
as many bytes a second, in chunks of the same size."""
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import threading
import time

from figures import Figure
from peers import ROOT, Absent, cpu_of

sys.path.insert(0, str(ROOT / 'tests' / 'plays'))
from stage import BIN, WITH_US, Stage, stored, wait_for

MANY, FEW = 2000, 20
CHUNK = 64 * 1024
SLOW_S = 0.5        # From chunk to chunk, where many watch: 1 Mbit/s.
SECONDS = 8         # Of a measurement.
SETTLES_S = 2       # Until all of them are given the same.
JOIN_MS = 8000      # Within which many begin,
LATEST_S = 30       # and have begun.
SILENCE_MS = 6000   # Who is slow is not left: to come anew costs more.


@contextlib.contextmanager
def stream(stage, name, every):
    """A live stream whose chunks come so often."""
    source = stage.begin('push', name, '-', '--chunk', CHUNK)
    over, chunk = threading.Event(), bytes(CHUNK)

    def flow():
        at = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            while not over.wait(max(0, at - time.monotonic())):
                source.stdin.write(chunk)
                source.stdin.flush()
                at += every
    thread = threading.Thread(target=flow)
    thread.start()
    try:
        wait_for(lambda: stored(stage, name), f'{name} flows')
        yield name
    finally:
        over.set()
        thread.join()
        source.kill()
        source.wait()


@contextlib.contextmanager
def viewers(stage, name, count):
    """So many watch it at the cache; all of them have begun."""
    process = subprocess.Popen(
        [*WITH_US, BIN / 'bench-viewers', name, str(count), stage.at['c1'],
         f'over={JOIN_MS * count // MANY}', 'until=600000',
         f'silence={SILENCE_MS}'],
        stdout=subprocess.PIPE, text=True)
    limit = threading.Timer(LATEST_S, process.terminate)
    limit.start()
    try:
        if 'joined' not in process.stdout.readline():
            raise Absent(f'{count} viewers are too many for this machine now')
        limit.cancel()
        yield
        process.terminate()
        told = json.loads(process.stdout.read())['viewers']
        if process.wait() or any(v['again'] for v in told):
            raise Absent('a viewer began anew: the machine is too busy')
    finally:
        limit.cancel()
        process.kill()
        process.wait()


def resident(stage):
    """Bytes of memory that the cache has, but for its window."""
    status = pathlib.Path(f'/proc/{stage.processes["c1"].pid}/status').read_text()
    return int(re.search(r'VmRSS:\s+(\d+)', status)[1]) * 1024 \
        - stage.counters('c1')['window_bytes_memory']


def cost(stage):
    """CPU seconds of the cache for a GB delivered, and MB/s delivered."""
    def now():
        return (time.monotonic(), cpu_of([stage.processes['c1'].pid]),
                stage.counters('c1')['delivered_bytes_total'])
    before = now()
    time.sleep(SECONDS)
    took, cpu, given = (b - a for a, b in zip(before, now()))
    return cpu / (given / 1e9), given / took / 1e6


def measure():
    """Bytes of memory a session, and CPU s/GB of many and of few."""
    with Stage(workers=2, space='4GB', caches={'c1': 'region'}, groups={
            'region': 'parents: [origin], siblings: unicast'}) as stage:
        with stream(stage, 'slow', SLOW_S) as name, viewers(stage, name, FEW):
            time.sleep(SETTLES_S)
            before = resident(stage)
            with viewers(stage, name, MANY - FEW):
                time.sleep(SETTLES_S)
                memory = (resident(stage) - before) / (MANY - FEW)
                many = cost(stage)
        with stream(stage, 'fast', SLOW_S * FEW / MANY) as name, \
                viewers(stage, name, FEW):
            time.sleep(SETTLES_S)
            few = cost(stage)
    return memory, many, few


def core_bytes():
    return int(subprocess.run([BIN / 'bench-sessions', str(MANY)], check=True,
                              stdout=subprocess.PIPE).stdout)


def figures(turns, size, say=print):
    del size    # The design says how many they are.
    of = f'{MANY} sessions at a cache'
    core = Figure(f'{of}: memory of its core, each', 'bytes', 'rill',
                  wanted='<= 2048')
    whole = Figure(f'{of}: memory, each, beyond the window', 'KiB', 'rill',
                   wanted='<= 64')
    cpu = Figure(f'{of}, beside {FEW} that get as much: CPU of the cache',
                 's/GB', 'many', 'few', wanted='<= 1.3')
    rate = Figure(f'{of}, beside {FEW}: delivered', 'MB/s', 'many')
    for turn in range(turns):
        say(f'sessions: turn {turn + 1} of {turns}')
        core.add('rill', core_bytes())
        try:
            memory, *both = measure()
        except Absent as why:
            say(f'left out: this turn: {why}')
            continue
        whole.add('rill', memory / 1024)
        for who, (spent, given) in zip(('many', 'few'), both):
            cpu.add(who, spent)
            rate.add(who, given)
    return [f for f in (core, whole, cpu, rate) if f.samples]


def needs(size):
    del size
    return 4 << 30
