#!/usr/bin/python3
"""Run tests and count them.

  run.py unit BUILD      every *_test program under BUILD/tests/unit

Each program prints one line a case, "ok SAYS" or "not ok SAYS". The last line
is "N passed, N failed"; the exit code is 1 when one failed or none ran.
"""
import os
import pathlib
import subprocess
import sys

SECONDS = 300   # No unit test takes as long; one that hangs is failed.


def cases(program):
    """Run one program; yield (passed, sentence) of each case it tells."""
    env = dict(os.environ, TSAN_OPTIONS='ignore_noninstrumented_modules=1')
    try:
        run = subprocess.run(['setarch', '-R', str(program)], env=env,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             timeout=SECONDS)
        text, code = run.stdout.decode(errors='replace'), run.returncode
    except subprocess.TimeoutExpired as late:
        text, code = (late.stdout or b'').decode(errors='replace'), 'too late'
    told = [line for line in text.splitlines()
            if line.startswith(('ok ', 'not ok '))]
    for line in told:
        yield line.startswith('ok '), line.split('ok ', 1)[1]
    if code != 0 and not any(line.startswith('not ok ') for line in told):
        yield False, f'{program.name}: ended with {code}'
    if code != 0:
        print(text)


def unit(build):
    """Run every unit test of a build."""
    passed = failed = 0
    root = pathlib.Path(build) / 'tests/unit'
    programs = sorted(p for p in root.rglob('*_test')
                      if p.is_file() and os.access(p, os.X_OK))
    for program in programs:
        print(f'{program.relative_to(root)}')
        for ok, says in cases(program):
            print(f'  {"ok" if ok else "FAILED"} {says}')
            passed, failed = passed + ok, failed + (not ok)
    return passed, failed


def main():
    kind, build = sys.argv[1:]
    passed, failed = {'unit': unit}[kind](build)
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
