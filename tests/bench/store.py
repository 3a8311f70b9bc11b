"""The chunk store beside fio on a fallocated file, with the same sizes, depth and
syncs, and beside LevelDB with the payload in it."""
import json
import os
import re
import subprocess

from figures import Figure
from peers import ROOT, Absent, folder, ran

SYNC = 4 << 20    # Bytes between two fdatasync of fio; the store groups them.
DEPTH = 4


def fio(home, chunk, size, depth=DEPTH, sync=SYNC):
    """MB/s, CPU seconds per GB, and ms of (a write, an fdatasync): what 99 of
    100 do not exceed, and the longest."""
    told = ran('fio', '--name=chunks', f'--directory={home}', '--filename=fio',
               f'--size={size}', f'--bs={chunk}', '--rw=write',
               '--ioengine=io_uring', f'--iodepth={depth}', '--direct=1',
               f'--fdatasync={sync // chunk}', '--end_fsync=1',
               '--fallocate=native', '--randrepeat=0', '--refill_buffers=0',
               '--output-format=json')
    (home / 'fio').unlink()
    job = json.loads(told[told.index('{'):])['jobs'][0]
    rate = size / (job['write']['runtime'] / 1000) / 1e6
    cpu = (job['usr_cpu'] + job['sys_cpu']) / 100 * job['job_runtime'] / 1000
    took = job['write']['clat_ns'], job['sync']['lat_ns']
    return (rate, cpu / (size / 1e9),
            [ns['percentile']['99.000000'] / 1e6 for ns in took],
            [ns['max'] / 1e6 for ns in took])


def store(home, chunk, size):
    """What bench-chunkstore prints of one round, by its first words."""
    done = subprocess.run([ROOT / 'build/release/bin/bench-chunkstore', home,
                           str(chunk // 1024), str(size >> 20), '1'],
                          capture_output=True, text=True)
    if done.returncode:
        raise Absent(f'bench-chunkstore: {done.stderr[-400:]}')
    return done.stdout


STORED = re.compile(
    r's/GB p99 (?P<bare_commit>[\d.]+) +store +(?P<rate>[\d.]+) MB/s +'
    r'(?P<cpu>[\d.]+) s/GB +(?P<written>[\d.]+) written.*?'
    r'p99 (?P<commit>[\d.]+), stall (?P<stall>[\d.]+)\s+'
    r'cold read p99 (?P<cold>[\d.]+) ms, bare (?P<bare>[\d.]+).*'
    r'LevelDB with the payload in it: (?P<table>[\d.]+)', re.S)
DROPPED = re.compile(
    r'half dropped in (?P<dropped>[\d.]+) s, (?P<again>[\d.]+) written, storing '
    r'(?P<after>[\d.]+) MB/s beside (?P<beside>[\d.]+)')


def numbers(match):
    return {name: float(said) for name, said in match.groupdict().items()}


def figures(turns, size, say=print):
    found = []
    for chunk in (256 << 10, 1 << 20):
        of = f'chunks of {chunk >> 10} KiB'
        rate = Figure(f'chunk store, {of}', 'MB/s', 'rill', 'fio', '>= 0.85')
        table = Figure(f'chunk store, {of}, beside LevelDB', 'MB/s', 'rill',
                       'LevelDB', '>= 4')
        cpu = Figure(f'chunk store, {of}: CPU', 's/GB', 'rill',
                     wanted='<= 0.35')
        written = Figure(f'chunk store, {of}: written per byte', 'bytes',
                         'rill', wanted='<= 1.02')
        commit = Figure(f'chunk store, {of}: commit (append to durable), p99', 'ms',
                        'rill', wanted='<= 10')
        stall = Figure(f'chunk store, {of}: longest stall', 'ms', 'rill',
                       wanted='<= 50')
        cold = Figure(f'chunk store, {of}: random cold chunk, p99', 'ms', 'rill',
                      'bare direct read', '<= 1.5')
        drop = Figure(f'chunk store, {of}: half of it dropped', 's', 'rill',
                      wanted='<= 1')
        again = Figure(f'chunk store, {of}: written per byte while that is '
                       'dropped', 'bytes', 'rill', wanted='<= 1.02')
        beside = Figure(f'chunk store, {of}: storing while that is dropped',
                        'MB/s', 'meanwhile', 'without', '>= 0.97')
        has_fio = True
        for turn in range(turns):
            say(f'store, {of}: turn {turn + 1} of {turns}')
            with folder() as home:
                os.sync()
                if has_fio:
                    try:
                        theirs, theirs_cpu, *late = fio(home, chunk, size)
                        rate.add('fio', theirs)
                        cpu.add('fio', theirs_cpu)
                        for figure, (wrote, synced) in zip((commit, stall),
                                                           late):
                            figure.add('fio: a write', wrote)
                            figure.add('fio: an fdatasync', synced)
                    except Absent as why:
                        say(f'left out: fio: {why}')
                        has_fio = False
                os.sync()
                told = store(home, chunk, size)
            got = numbers(STORED.search(told))
            rate.add('rill', got['rate'])
            table.add('rill', got['rate'])
            table.add('LevelDB', got['table'])
            cpu.add('rill', got['cpu'])
            written.add('rill', got['written'])
            commit.add('rill', got['commit'])
            commit.add('bare file: write to durable', got['bare_commit'])
            stall.add('rill', got['stall'])
            cold.add('rill', got['cold'])
            cold.add('bare direct read', got['bare'])
            for got in map(numbers, DROPPED.finditer(told)):
                drop.add('rill', got['dropped'])
                again.add('rill', got['again'])
                beside.add('meanwhile', got['after'])
                beside.add('without', got['beside'])
        found += [rate, table, cpu, written, commit, stall, cold, drop, again,
                  beside]
    return found


def needs(size):
    return 4 * size
