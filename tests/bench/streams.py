"""A hundred live streams at one forwarder, stored as 4+2 over six workers."""
import os
import pathlib
import re
import sys

from figures import Figure
from peers import ROOT, Absent, cpu_of
from put import timed

sys.path.insert(0, str(ROOT / 'tests' / 'plays'))
from stage import Stage

STREAMS, MBIT, SECONDS = 100, 4, 60
BLOCK_MS = 4 * 200    # k chunks, each filled for the buffer's time.
PRINTED = re.compile(r'p50 (\S+) ms, p99 (\S+) ms, longest (\S+) ms, '
                     r'held back (\d+), stored (\d+) bytes')


def resident(process):
    """The most MiB that a process ever had."""
    status = pathlib.Path(f'/proc/{process.pid}/status').read_text()
    return int(re.search(r'VmHWM:\s+(\d+)', status)[1]) / 1024


def figures(turns, size, say=print):
    del size    # The design names the streams and how long they last.
    of = f'{STREAMS} streams of {MBIT} Mbit/s for {SECONDS} s'

    def figure(name, unit, wanted=''):
        return Figure(f'{of}: {name}', unit, 'rill', wanted=wanted)
    late = f'<= {BLOCK_MS + 50}'
    half = figure('byte to STORED, p50', 'ms', late)
    most = figure('byte to STORED, p99', 'ms', late)
    held = figure('held back', 'times', '<= 0')
    origin = figure('resident, forwarder', 'MiB', '<= 256')
    worker = figure('resident, the largest worker', 'MiB', '<= 128')
    cpu = figure('CPU of forwarder and workers', 'cores')
    for turn in range(turns):
        say(f'streams: turn {turn + 1} of {turns}')
        with Stage(workers=6, space='8GB') as stage:
            pids = [p.pid for p in stage.processes.values()]
            before = cpu_of(pids)
            os.sync()
            took, _, out = timed([ROOT / 'build/release/bin/bench-streams',
                                  stage.at['origin'], STREAMS, MBIT, SECONDS])
            told = PRINTED.search(out)
            if not told:
                raise Absent(f'bench-streams said {out}')
            half.add('rill', float(told[1]))
            most.add('rill', float(told[2]))
            held.add('rill', int(told[4]))
            cpu.add('rill', (cpu_of(pids) - before) / took)
            origin.add('rill', resident(stage.processes['origin']))
            worker.add('rill', max(resident(stage.processes[w])
                                   for w in stage.workers))
    return [half, most, held, origin, worker, cpu]


def needs(size):
    del size
    return 8 << 30
