"""Programs that count what they inject, run over seeds.

They print "# TIMES  KIND" (or "never"), "ok SAYS" and "not ok SAYS", and what
broke is a line with "breach:" or one with "# seed".
"""
import os
import re
import subprocess

from stage import BUILD, ROOT

COUNT = re.compile(r'# +(\d+|never)  (.+)')
SECONDS = 900    # No program takes as long for one round.


def run(job, program, *args, name):
    """One program to its end: its counts are hits, its failures breaches."""
    command = [BUILD / program, *map(str, args)]
    replay = ' '.join([program, *map(str, args)])
    try:
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors='replace', timeout=SECONDS)
    except subprocess.TimeoutExpired:
        job.breach(f'{name}: no end within {SECONDS} s: {replay}')
        return
    for times, kind in COUNT.findall(done.stdout):
        job.hit(kind, 0 if times == 'never' else int(times))
    if done.returncode or '\nnot ok ' in '\n' + done.stdout:
        path = BUILD / 'campaign' / f'{name}.log'
        os.makedirs(path.parent, exist_ok=True)
        path.write_text(done.stdout)
        job.breach(f'{name}: {replay} ended with {done.returncode}; what it '
                   f'said is in {path}')
