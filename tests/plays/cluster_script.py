"""scripts/cluster does what it says, twice as well as once."""
import os
import subprocess

from stage import BUILD, ROOT, STEADY, Stage, end, expect


def cluster(stage, *args, code=0):
    """What the script said, on stdout and stderr."""
    done = subprocess.run([ROOT / 'scripts/cluster', *args, '-f',
                           stage.cluster], capture_output=True, text=True,
                          env=dict(os.environ, RILL_BUILD=str(BUILD)))
    expect(done.returncode == code, f'{args}: {done}')
    return done.stdout + done.stderr


with Stage(workers=3, start=False, patience=STEADY) as stage:
    try:
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
            cluster(stage, 'kill', 'w1')
            expect('does not run' in cluster(stage, 'status', code=1), 'kill')
            cluster(stage, 'up')
            expect('ready' in cluster(stage, 'logs', 'w1'), 'logs')
            expect('w9' not in cluster(stage, 'status'), 'status')
            cluster(stage, 'stop', 'w9', code=64)
        with stage.case('down stops all; a second down does nothing'):
            expect(cluster(stage, 'down').count('stopped') == 4, 'down')
            expect(cluster(stage, 'down') == '', 'down twice')
            cluster(stage, 'status', code=1)
        with stage.case('a pid that another process has got is left alone'):
            other = subprocess.Popen(['sleep', '600'])
            try:
                (stage.home / 'w1.pid').write_text(f'{other.pid} 1\n')
                cluster(stage, 'kill', 'w1')
                expect(other.poll() is None, 'a stranger was killed')
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
