"""Terminals (terminals.c) of a cluster of rill, or of what it is measured beside."""
import contextlib
import json
import subprocess
import sys

from peers import ROOT, Absent

sys.path.insert(0, str(ROOT / 'tests' / 'plays'))
from stage import BIN, WITH_US, Stage, stored, wait_for


def spawn(*command, **more):
    """A process that does not outlive us."""
    return subprocess.Popen([*WITH_US, *map(str, command)],
                            stdin=subprocess.DEVNULL, **more)


@contextlib.contextmanager
def spawned(*command):
    process = spawn(*command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def serve(seconds, groups, cpu, before=()):
    """Groups of terminals, as kind:count:host:port:what: what they tell, and
    the CPU seconds that `cpu` told meanwhile. `before`: what stands before
    their command."""
    with spawn(*before, BIN / 'bench-terminals', seconds, *groups,
               stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline() != 'ready\n':
            raise Absent(f'{" ".join(groups)}: not served')
        before = cpu()
        told = process.stdout.readline()
        spent = cpu() - before
        if not told:
            raise Absent(f'{" ".join(groups)}: not served to the end')
        return json.loads(told), spent


def measured(what, ways, seconds, turns, say, before=()):
    """In turn of each way, which gives groups of terminals and what tells the
    server's CPU seconds: who, what the terminals told, CPU seconds spent."""
    with contextlib.ExitStack() as until:
        ready = {}
        for turn in range(-1, turns):
            if turn >= 0:
                say(f'{what}: turn {turn + 1} of {turns}')
            for who in list(ways):
                try:
                    if turn < 0:
                        ready[who] = until.enter_context(ways[who])
                    served = serve(seconds if turn >= 0 else 0.5, *ready[who],
                                   before)
                except Absent as why:
                    say(f'left out: {who}: {why}')
                    del ways[who]
                    continue
                if turn >= 0:
                    yield who, *served


def region(*caches):
    """A cluster with caches below its origin."""
    return Stage(workers=4, space='8GB', groups={
        'region': 'parents: [origin], siblings: unicast'},
        caches={name: 'region' for name in caches})


@contextlib.contextmanager
def live_source(stage, chunk, every_ms):
    """The stream `cam`, of stamped chunks."""
    with spawned(BIN / 'bench-source', 'rill', stage.at['origin'], 'cam', chunk,
                 every_ms):
        wait_for(lambda: stored(stage, 'cam'), 'the source brings something')
        yield
