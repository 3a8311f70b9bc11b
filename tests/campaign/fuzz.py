"""Every fuzz target in turn, from what it found before.

New inputs are kept in build/fuzz/corpus; the few in tests/fuzz/corpus and the
messages in tests/wire are where everything begins.
"""
import os
import re
import subprocess
import time

from stage import ROOT

BUILT, BEFORE = ['san=fuzz', 'fuzz'], []
FOLDER = ROOT / 'build/fuzz'
# Which part of the time each target has; what is fast has more to try.
SHARES = {'message_fuzz': 24, 'chunk_fuzz': 10, 'record_fuzz': 12,
          'settings_fuzz': 6, 'forwarder_fuzz': 11, 'relay_fuzz': 8,
          'storage_fuzz': 8, 'client_fuzz': 7, 'catalogue_fuzz': 5,
          'recover_fuzz': 5, 'query_fuzz': 2, 'recording_fuzz': 2}
KINDS = ('execution', *(f'execution of {name}' for name in SHARES))
LONGEST = 300       # Seconds of one target before the next.
LEAST = 1


def lack():
    return None


def run(job, name, seconds):
    """One target for some seconds."""
    corpus = FOLDER / 'corpus' / name
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = [p for p in (ROOT / 'tests/fuzz/corpus' / name, ROOT / 'tests/wire')
             if p.exists()]
    begun = time.monotonic()
    done = subprocess.run(
        [FOLDER / 'bin' / name, f'-max_total_time={seconds}', '-timeout=20',
         '-rss_limit_mb=2048', '-max_len=4096', '-entropic=0',
         f'-artifact_prefix={FOLDER}/{name}-', '-print_final_stats=1',
         corpus, *seeds], cwd=corpus, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        errors='replace')
    took = time.monotonic() - begun
    found = re.search(r'number_of_executed_units: (\d+)', done.stderr)
    times = int(found[1]) if found else 0
    job.hit('execution', times)
    job.hit(f'execution of {name}', times)
    print(f'# {name}: {times} executions, {times / took:.0f} a second',
          flush=True)
    if done.returncode:
        log = FOLDER / f'{name}-{os.getpid()}.log'
        log.write_text(done.stderr)
        job.breach(f'{name} ended with {done.returncode}; the input lies '
                   f'beside {log}')


def play(job):
    left = job.until - time.monotonic()
    rounds = 0
    while not rounds or not job.is_over():
        for name, share in SHARES.items():
            if rounds and job.is_over():
                break
            run(job, name, max(LEAST, min(LONGEST, int(left * share / 100))))
            job.tell()
        rounds += 1
