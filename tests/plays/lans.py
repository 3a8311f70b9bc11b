"""A tree whose nodes are hosts of their own: near is a LAN, a host that is cut
off is dead to all, a LAN that is cut off goes on by itself. Needs root; where
that is not to be had, scripts/cluster says so (cluster_script)."""
import json
import os
import re
import subprocess
import sys

from stage import BUILD, PATIENCE, ROOT, Stage, end, expect, wait_for

sys.path.insert(0, str(ROOT / 'scripts'))
from hosts import refusal

PAUSE = 2 * PATIENCE     # A busy machine makes nobody look dead.


def cluster(*args, code=0):
    done = subprocess.run([ROOT / 'scripts/cluster', '-f', FILE,
                           *map(str, args)], capture_output=True, text=True,
                          env=dict(os.environ, RILL_BUILD=str(BUILD)))
    expect(code is None or done.returncode == code, f'{args}: {done}')
    return done


def where(lan, *more):
    """The offer that a terminal in a LAN gets; {} while there is none."""
    done = cluster('at', lan, 'rill', 'where', '--json', *more, code=None)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def names(lan):
    return [p['node'] for p in where(lan).get('places', [])]


def near(lan, *wanted):
    """Whether just these come first, in whatever order."""
    return set(names(lan)[:len(wanted)]) == set(wanted)


def play(stage, told):
    with stage.case('three tiers come up, each node with an address in its '
                    'LAN'):
        expect(told.count('ready at 10.') == 10, told)
        expect((stage.home / 'region.key').stat().st_mode & 0o777 == 0o600,
               'the key of a group is no secret')
    with stage.case('L2: a terminal is sent to the caches of its own LAN'):
        for lan, *wanted in (('town-a', 'a1', 'a2'), ('town-b', 'b1', 'b2')):
            wait_for(lambda: near(lan, *wanted), f'{wanted} first in {lan}')
        told = where('town-a')
        expect(told['address'].startswith('10.2.0.')
               and told['places'][0]['near'] == 24, told)
    with stage.case('census 1: a host that is cut off is offered to '
              'nobody, and again when it is healed'):
        cluster('cut', 'a1')
        wait_for(lambda: (n := names('town-a')) and 'a1' not in n, 'a1 is gone')
        wait_for(lambda: near('town-a', 'a2'), 'a2 comes first')
        cluster('heal', 'a1')
        wait_for(lambda: near('town-a', 'a1', 'a2'), 'a1 is back')
    with stage.case('live.md 21: a LAN that is cut off is served by its own '
                    'caches, which answer for the director'):
        a2 = next(p['at'] for p in where('town-a')['places']
                  if p['node'] == 'a2')
        cluster('cut', 'town-a')
        told = wait_for(lambda: (t := where('town-a', '--at', a2))
                        and t['node'] == 'a2' and t, 'a2 answers itself')
        expect([p['node'] for p in told['places']] == ['a2', 'a1'], told)
        wait_for(lambda: (n := names('town-b')) and not {'a1', 'a2'} & set(n),
                 'nobody else is sent there')
        cluster('heal', 'town-a')
        wait_for(lambda: near('town-a', 'a1', 'a2'), 'both are back')


with Stage(workers=1, start=False) as stage:
    FILE = stage.home / 'tree.yml'
    text = (ROOT / 'scripts/three-tiers.yml').read_text()
    text = text.replace('build/tree', str(stage.home))
    # Two workers are enough here.
    text = re.sub(r'  - {name: w[3-6].*\n', '', text)
    FILE.write_text(re.sub(r'patience: 1\b', f'patience: {PAUSE}', text))
    why = refusal()
    if why:
        with stage.case('where no hosts of their own are to be had, that is '
                        'said'):
            cluster('up', '--netns', code=77 if os.geteuid() else 1)
    else:
        try:
            play(stage, cluster('up', '--netns').stdout)
        finally:
            cluster('down', code=None)
end()
