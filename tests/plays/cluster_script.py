"""scripts/cluster does what it says, twice as well as once."""
import hashlib
import os
import signal
import subprocess
import sys

from stage import BUILD, ROOT, STEADY, Stage, end, expect, wait_for

sys.path.insert(0, str(ROOT / 'scripts'))
from hosts import Hosts, refusal


def cluster(stage, *args, code=0, cwd=None, stdout=subprocess.PIPE):
    """What the script said, on stdout and stderr."""
    done = subprocess.run([ROOT / 'scripts/cluster', '-f', stage.cluster,
                           *map(str, args)], stdout=stdout, text=True,
                          stderr=subprocess.PIPE, cwd=cwd,
                          env=dict(os.environ, RILL_BUILD=str(BUILD)))
    expect(done.returncode == code, f'{args}: {done}')
    return (done.stdout or '') + done.stderr


def spaces(stage):
    """The namespaces of this cluster."""
    tag = hashlib.sha1(str(stage.home).encode()).hexdigest()[:8]
    return Hosts(tag, ['core']).made()


def play_hosts(stage):
    """What --netns gives, on a machine that allows it."""
    told = cluster(stage, 'up', '--netns')
    expect(told.count('ready at 10.0.0.') == 4, told)
    path = stage.file('clip', 1_000_000, seed=2)
    cluster(stage, 'at', 'core', 'rill', 'put', path)
    expect(len(spaces(stage)) == 4 + 2, spaces(stage))    # And the terminal's.
    back = stage.home / 'back'
    cluster(stage, 'at', 'w1', 'rill', 'get', 'clip', '-o', back)
    expect(back.read_bytes() == path.read_bytes(), 'other bytes came back')
    def away():
        """How many workers the forwarder misses."""
        return cluster(stage, 'at', 'core', 'rill', 'status').count(' away ')
    expect(away() == 0, 'a worker is away')
    cluster(stage, 'cut', 'w2')
    wait_for(lambda: away() == 1, 'w2 is missed when it is cut off')
    expect('does not run' not in cluster(stage, 'status'), 'w2 died of it')
    cluster(stage, 'heal', 'w2')
    wait_for(lambda: away() == 0, 'w2 is back when it is healed')
    told = cluster(stage, 'up', '--netns')
    expect(told.count('already') == 4, told)
    expect(cluster(stage, 'down').count('stopped') == 4, 'down')
    expect(not spaces(stage), 'a namespace was left behind')
    expect('hosts of their own' in cluster(stage, 'cut', 'w2', code=1), 'cut')


with Stage(workers=3, start=False, patience=STEADY) as stage:
    try:
        with stage.case('with --netns every node is a host that can be cut '
                        'off and healed; down leaves none behind'):
            why = refusal()
            if why:    # Then that is said, and nothing is left half made.
                told = cluster(stage, 'up', '--netns',
                               code=77 if os.geteuid() else 1)
                expect(told.count('\n') == 1 and why.split(':')[-1] in told,
                       told)
            else:
                play_hosts(stage)
        for name in stage.names:
            if (stage.home / name).exists():
                (stage.home / name).rename(stage.home / f'{name}.first')
        with stage.case('up returns when every node is ready; a second up '
                        'starts nothing'):
            first = cluster(stage, 'up')
            expect(first.count('ready') == 4 and 'already' not in first, first)
            pids = cluster(stage, 'status')
            again = cluster(stage, 'up')
            expect(again.count('already') == 4, again)
            expect(cluster(stage, 'status') == pids, 'other processes run')
            stage.wait_live('w1', 'w2', 'w3')
            stage.put(stage.file('clip', 1_000_000))
        with stage.case('stop, start and kill do it to one node'):
            expect('w2 stopped' in cluster(stage, 'stop', 'w2'), 'stop')
            told = cluster(stage, 'status', code=1)
            expect(told.count('does not run') == 1, told)
            cluster(stage, 'start', 'w2')
            #   What a cluster file calls relative is below rill's own folder,
            #   wherever the script is called from.
            absolute = stage.cluster.read_text()
            stage.cluster.write_text(absolute.replace(
                f'data: {stage.home}',
                f'data: {os.path.relpath(stage.home, ROOT)}'))
            cluster(stage, 'kill', 'w1', cwd='/')
            expect('does not run' in cluster(stage, 'status', code=1), 'kill')
            stage.cluster.write_text(absolute)
            cluster(stage, 'up')
            expect('ready' in cluster(stage, 'logs', 'w1'), 'logs')
            expect('w9' not in cluster(stage, 'status'), 'status')
            cluster(stage, 'stop', 'w9', code=64)
        with stage.case('who has read enough is not told of it (logs | head)'):
            gone, pipe = os.pipe()
            os.close(gone)
            told = cluster(stage, 'logs', 'w1', code=-signal.SIGPIPE,
                           stdout=pipe)
            os.close(pipe)
            expect(told == '', told)
        with stage.case('down stops all; a second down does nothing'):
            expect(cluster(stage, 'down').count('stopped') == 4, 'down')
            expect(cluster(stage, 'down') == '', 'down twice')
            cluster(stage, 'status', code=1)
        with stage.case('a pid that another process has got is left alone'):
            other = subprocess.Popen(['sleep', '600'])
            try:
                (stage.home / 'w1.pid').write_text(f'{other.pid} 1\n')
                told = cluster(stage, 'kill', 'w1', code=1)
                expect(other.poll() is None, 'a stranger was killed')
                expect('w1 does not run' in told, told)
            finally:
                other.kill()
                other.wait()
        with stage.case('up says which node is not ready, and why'):
            (stage.home / 'w3').rename(stage.home / 'moved')
            (stage.home / 'w3').write_text('a file, no directory')
            told = cluster(stage, 'up', code=1)
            expect('w3 has stopped' in told and 'w1 ' not in told, told)
    finally:
        cluster(stage, 'down')
end()
