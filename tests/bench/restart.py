"""What a put, a get, a restart and the catalogue cost beside 10^3 to 10^6 chunks
and 1 to 10^4 streams that are there: bench-restart, three pairs of restarts."""
import re
import subprocess

from figures import Figure
from peers import ROOT, Absent, folder

CHUNKS = [1000, 10000, 100000, 1000000]
STREAMS = [1, 100, 10000]
STREAMS_BESIDE, CHUNKS_BESIDE = 100, 100000
OPEN = 100    # At most so many are not sealed.
MIDDLE = r'([\d.]+) ms \(([\d.]+) to ([\d.]+)\)'
RESTART = re.compile(r'forwarder +(\d+) ms, recovered +(\d+) +worker open +(\d+) '
                     r'ms, in service +(\d+)')
TOLD = ['forwarder: start to answer', 'forwarder: start to all taken up',
        'worker: start to in service', 'put of 1 MiB', 'get of 1 MiB',
        'catalogue']


def measured(streams, chunks):
    """Samples, in the order of TOLD."""
    with folder() as home:
        done = subprocess.run(
            [ROOT / 'build/release/bin/bench-restart', home, str(streams),
             str(chunks), str(min(OPEN, (streams + 1) // 2))],
            capture_output=True, text=True)
    if done.returncode:
        raise Absent(f'bench-restart: {(done.stdout + done.stderr)[-400:]}')
    starts = [[float(ms) for ms in told] for told in
              RESTART.findall(done.stdout)]
    put = re.search('put ' + MIDDLE, done.stdout).groups()
    get = re.search('get ' + MIDDLE, done.stdout).groups()
    held = int(re.search(r'catalogue (\d+) bytes', done.stdout)[1])
    return [[s[0] for s in starts], [s[1] for s in starts],
            [s[3] for s in starts], [float(ms) for ms in put],
            [float(ms) for ms in get], [held / 1024]]


def figures(turns, size, say=print):
    del turns, size    # Each point has six restarts and 21 puts and gets.
    found = []

    def over(what, sizes, beside, measure):
        some = [Figure(f'{name}, beside {beside}',
                       'KiB' if name == 'catalogue' else 'ms',
                       f'{sizes[-1]:,}', over=what) for name in TOLD]
        for count in sizes:
            say(f'restart: {count:,} {what}')
            for figure, samples in zip(some, measure(count)):
                figure.samples[f'{count:,}'] = samples
        found.extend(some)
    over('chunks', CHUNKS, f'{STREAMS_BESIDE} streams',
         lambda chunks: measured(STREAMS_BESIDE, chunks))
    over('streams', STREAMS, f'{CHUNKS_BESIDE:,} chunks',
         lambda streams: measured(streams, CHUNKS_BESIDE))
    return found


def needs(size):
    del size
    return 4 << 30
