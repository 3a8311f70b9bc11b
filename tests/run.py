#!/usr/bin/python3
"""Run tests and count them.

  run.py [--build] KIND[:VARIANT][/WORD]...

  unit     every *_test program of the build; of the thread sanitizer's those
           that can start threads
  sim      a short turn of the simulator
  plays    whole clusters of real processes: tests/plays/*.py
  fuzz     every fuzz target for a few seconds, in its own build
  campaign a short turn of scripts/campaign: one round of each kind
  shape    the tree's own rules: tests/shape/*.py
  format   every C file is as clang-format writes it
  gate     every invariant of what is built is cited by a case that passed

VARIANT is a build folder: release (the default), address, thread. WORD keeps
only what has it in its path. --build builds each variant first.

A program prints one line a case, "ok SAYS" or "not ok SAYS". The last line
here is "N passed, N failed"; the exit code is 1 when one failed or none ran.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS = 900       # No test program takes as long; one that hangs is failed.
SEEDS, SLOW_SEEDS = '1-200', '1-30'    # Of a turn of the simulator.
LIVE_MET = '876239'     # A play of 10 s that met what is mended since.
MOST_SEEDS = '1-1000'   # Until a broken rule is found: most are at once.
FUZZ_SECONDS = 3    # For each target.
CAMPAIGNS = {'kills': 'nodes and sources are killed and stopped',
             'power': 'the power of nodes is cut on a loop device',
             'tree': 'a live tree on hosts of their own is cut, killed, '
                     'stopped, and left',
             'crash': 'every crash state of a store and a catalogue'}
TOPS = ('protocols', 'brokers', 'workers', 'tests')
ENV = {'ASAN_OPTIONS': 'detect_leaks=1', 'UBSAN_OPTIONS': 'print_stacktrace=1',
       'TSAN_OPTIONS': 'ignore_noninstrumented_modules=1'}
LEAKS = f'print_suppressions=0:suppressions={ROOT}/tests/plays/leaks.supp'
NUMBERS = r'\d+(?:(?:, | and )\d+)*'


class Tally:
    """Every case of the run: what passed, what failed, what was cited."""

    def __init__(self):
        self.passed, self.failed, self.cited = 0, [], set()
        self.alone = threading.Lock()    # One program's cases stay together.

    def case(self, ok, says):
        if ok:
            self.passed += 1
            self.cited |= citations(says)
        else:
            self.failed.append(says)
        print(f'  {"ok" if ok else "FAILED"} {says}', flush=True)


def citations(says):
    """The (word, number) pairs that a sentence cites: "placement 1 and 2"."""
    return {(word.removesuffix('s') if word == 'invariants' else word, int(n))
            for word, numbers in re.findall(rf'\b([a-z_]+) ({NUMBERS})', says)
            for n in re.findall(r'\d+', numbers)}


def end(process):
    """End a program that takes too long, gently first: it may clean up."""
    process.terminate()
    try:
        return process.communicate(timeout=30)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


def run(tally, command, name, **env):
    """Run one program and count its cases; its talk is shown if it failed."""
    begun = time.monotonic()
    process = subprocess.Popen([str(c) for c in command], cwd=ROOT,
                               env=dict(os.environ, **ENV, **env),
                               stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    late = ''
    try:
        text, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        late = f', which took more than {SECONDS} s'
        text = end(process)
    text, code = text.decode(errors='replace'), process.returncode
    with tally.alone:
        print(f'{name} ({time.monotonic() - begun:.1f} s)')
        count(tally, text, f'{name}: ended with {code}{late}', code)


def count(tally, text, ended, code):
    """Count what a program told; it must have told something, and of every
    failure."""
    told = [line for line in text.splitlines()
            if line.startswith(('ok ', 'not ok '))]
    for line in told:
        tally.case(line.startswith('ok '), line.split('ok ', 1)[1])
    if not told or code != 0 and not any(t.startswith('not ') for t in told):
        tally.case(False, f'{ended} after {len(told)} cases')
    if code != 0:
        print(text, flush=True)


def beside(one, things, count=2):
    """Do `one` with each thing, `count` at a time; all ended at the return."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        list(pool.map(one, things))


def before(variant):
    """What a program of a build is started by: the thread sanitizer cannot
    live with random addresses."""
    return ['setarch', '-R'] if variant == 'thread' else []


def threaded(program):
    """Whether a program can start a thread that runs code of ours: one that
    cannot has no race, and the thread sanitizer nothing to look at. LevelDB's
    own thread calls nothing back."""
    wants = subprocess.run(['nm', '-D', '--undefined-only', program],
                           stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.search(r'\b(pthread_create|thrd_create|zactor_new|zsock_new)',
                     wants)


def unit(tally, variant, word):
    """Every unit test of a build, two at a time."""
    root = ROOT / 'build' / variant / 'tests/unit'
    programs = sorted(p for p in root.rglob('*_test')
                      if word in str(p) and os.access(p, os.X_OK))
    if variant == 'thread':
        programs = [p for p in programs if threaded(p)]
    beside(lambda program: run(tally, [*before(variant), program],
                               f'{variant} {program.relative_to(root)}'),
           programs)


def sim(tally, variant, word):
    """A short turn of the simulator, and of its checker against every lie."""
    program = ROOT / 'build' / variant / 'bin/rill-sim'
    seeds = SEEDS if variant == 'release' else SLOW_SEEDS
    run(tally, [program, '--seeds', seeds], f'{variant} sim, seeds {seeds}')
    run(tally, [program, '--live', '--seeds', seeds],
        f'{variant} sim of the live tree, seeds {seeds}')
    run(tally, [program, '--live', '--seed', LIVE_MET, '--seconds', '10'],
        f'{variant} sim of the live tree, seed {LIVE_MET}')
    listed = subprocess.run([program, '--list'], stdout=subprocess.PIPE,
                            text=True).stdout

    def found(line):
        lie, says = line.split(None, 1)
        done = subprocess.run(['timeout', str(SECONDS), program, '--lie', lie,
                               '--seeds', MOST_SEEDS], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        with tally.alone:
            ok = done.returncode == 1 and 'breach: ' in done.stdout
            tally.case(ok, f'the simulator\'s checker finds that {says}')
            if not ok:
                print(f'ended with {done.returncode}', done.stdout[-8000:])
    beside(found, listed.splitlines())
    traces = [subprocess.run([program, '--seed', '3', '--trace'],
                             stdout=subprocess.PIPE).stdout for _ in range(2)]
    tally.case(traces[0] == traces[1] and b'digest' in traces[0],
               'one seed of the simulator is one trace')
    if variant == 'release':
        broken(tally, program)


def broken(tally, program):
    """Seeds on code with one rule broken: each must be found."""
    built = subprocess.run(['/usr/bin/python3', '/usr/bin/scons', '-Q', '-s',
                            '-k', 'broken'], cwd=ROOT).returncode == 0
    tally.case(built, 'every patch of tests/sim/broken fits the code')
    if not built:
        return

    def found(patch):
        says, breaks = patch.read_text().splitlines()[:2]
        done = subprocess.run(['timeout', str(SECONDS),
                               f'{program}-{patch.stem}',
                               *['--live'] * patch.stem.startswith('live-'),
                               '--seeds', MOST_SEEDS],
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        rule = breaks.removeprefix('Breaks ').rstrip('.')
        with tally.alone:
            tally.case(done.returncode == 1 and 'breach: ' in done.stdout,
                       f'{rule}: found to be broken when: {says}')
    beside(found, sorted((ROOT / 'tests/sim/broken').glob('*.patch')))


def plays(tally, variant, word):
    """Every play over the programs of a build, three at a time: they wait more
    than they work. The longest scripts first, they are the longest plays."""
    def one(play):
        run(tally, [*before(variant), '/usr/bin/python3', play],
            f'{variant} plays/{play.name}',
            RILL_BUILD=f'build/{variant}', LSAN_OPTIONS=LEAKS)
    scripts = [p for p in (ROOT / 'tests/plays').glob('*.py')
               if p.name != 'stage.py' and word in p.stem]
    scripts.sort(key=lambda p: (-p.stat().st_size, p))
    beside(one, scripts, 3)


def fuzz(tally, variant, word):
    """Every fuzz target, briefly, two at a time; a target without an answer
    has failed."""
    def one(target):
        corpus = ROOT / 'build/fuzz/corpus' / target.name
        corpus.mkdir(parents=True, exist_ok=True)
        seeds = [p for p in (ROOT / 'tests/fuzz/corpus' / target.name,
                             ROOT / 'tests/wire') if p.exists()]
        done = subprocess.run(
            [target, f'-max_total_time={FUZZ_SECONDS}', '-timeout=60',
             '-rss_limit_mb=2048', corpus, *seeds],
            cwd=corpus, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors='replace')
        with tally.alone:
            tally.case(done.returncode == 0, f'{target.name}: no input of '
                       f'{FUZZ_SECONDS} s breaks it')
            if done.returncode:
                print(done.stdout[-8000:])
    beside(one, sorted(p for p in (ROOT / 'build/fuzz/bin').glob('*_fuzz')
                       if word in p.name))


def campaign(tally, variant, word):
    """One round of each kind of campaign. The simulator has a turn of its own:
    some of its faults need many plays to hit."""
    def one(kind):
        begun = time.monotonic()
        process = subprocess.Popen(
            ['/usr/bin/python3', 'scripts/campaign', kind, '1s', '--seed', '1',
             '--built'], cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            text, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            text = end(process)
        with tally.alone:
            print(f'campaign {kind} ({time.monotonic() - begun:.1f} s)')
            print(text.decode(errors='replace'), end='')
            tally.case(process.returncode == 0, f'a round of the campaign '
                       f'{kind} ({CAMPAIGNS[kind]}) has no breach')
    beside(one, [kind for kind in CAMPAIGNS if word in kind])


def shape(tally, variant, word):
    """The tree keeps its own rules."""
    for script in sorted((ROOT / 'tests/shape').glob('*.py')):
        run(tally, ['/usr/bin/python3', script], f'shape {script.name}')


def written():
    """The C files that people wrote."""
    return [p for top in TOPS for p in sorted((ROOT / top).rglob('*.[ch]'))]


def form(tally, variant, word):
    """Every C file is as clang-format writes it."""
    done = subprocess.run(['clang-format', '--dry-run', '-Werror', *written()],
                          stderr=subprocess.PIPE, text=True)
    tally.case(done.returncode == 0, 'every C file is as clang-format has it')
    print('\n'.join(done.stderr.splitlines()[:40]), end='')


def house():
    """The numbers of the house's invariants: the table of the README."""
    table = (ROOT / 'README.md').read_text().partition('## Invariants')[2]
    return [int(n) for n in re.findall(r'^\| (\d+) \|', table, re.M)]


def invariants(path):
    """The numbers of the invariants that a header's opening comment lists."""
    opening = path.read_text().split('*/', 1)[0]
    listed = opening.partition('Invariants')[2]
    return [int(n) for n in re.findall(r'^ \*    (\d+)\. ', listed, re.M)]


def gate(tally, variant, word):
    """Every invariant of what is built has a passed case that cites it."""
    wanted = [('invariant', n, 'README.md') for n in house()]
    for path in written():
        if path.suffix == '.h' and ROOT / 'tests' not in path.parents:
            wanted += [(path.stem, n, path.relative_to(ROOT))
                       for n in invariants(path)]
    print('gate')
    missing = [w for w in wanted if w[:2] not in tally.cited]
    for name, n, where in missing:
        tally.case(False, f'{name} {n} of {where}: no passed case cites it')
    if not missing:
        tally.case(True, f'each of {len(wanted)} invariants has a passed case')


def build(variants):
    """Build what the turns need; returns whether all of it could be."""
    for variant in variants:
        san = [] if variant == 'release' else [f'san={variant}']
        #   Everything once; what a sanitizer runs in its own build.
        want = {'fuzz': ['fuzz'], 'release': ['.', 'tests']}.get(
            variant, ['programs', 'tests'])
        print(f'build {variant}', flush=True)
        if subprocess.run(['/usr/bin/python3', '/usr/bin/scons', '-Q', '-s',
                           *san, *want], cwd=ROOT).returncode:
            return False
    return True


KINDS = {'unit': unit, 'sim': sim, 'plays': plays, 'fuzz': fuzz,
         'campaign': campaign, 'shape': shape, 'format': form, 'gate': gate}
UNBUILT = ('shape', 'format', 'gate')


def turn(text):
    """KIND[:VARIANT][/WORD] as (kind, variant, word)."""
    match = re.fullmatch(r'(\w+)(?::(release|address|thread))?(?:/(.+))?', text)
    if not match or match[1] not in KINDS:
        sys.exit(f'run.py: {text}: say KIND[:VARIANT][/WORD], KIND one of '
                 + ', '.join(KINDS))
    variant = 'fuzz' if match[1] == 'fuzz' else match[2] or 'release'
    return match[1], variant, match[3] or ''


def main():
    args = sys.argv[1:]
    turns = [turn(a) for a in args if a != '--build']
    tally = Tally()
    variants = dict.fromkeys(v for k, v, _ in turns if k not in UNBUILT)
    if '--build' in args and not build(variants):
        tally.case(False, 'the tree builds')
        turns = []
    for kind, variant, word in turns:
        KINDS[kind](tally, variant, word)
    for says in tally.failed:
        print(f'FAILED {says}')
    print(f'{tally.passed} passed, {len(tally.failed)} failed')
    return 1 if tally.failed or not tally.passed else 0


if __name__ == '__main__':
    sys.exit(main())
