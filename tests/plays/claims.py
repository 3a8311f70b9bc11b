"""Who may have a name, a directory, a port; and what a cluster file must be."""
import json
import shutil
import subprocess

from stage import BIN, SECONDS, Stage, end, expect


def refused(stage, name, code, *words, **more):
    """A daemon that must not run: it ends with `code` and one clear line."""
    process = stage.spawn(name, **more)
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        expect(False, f'{name} runs: {stage.said(name)}')
    said = stage.said(name)
    expect(process.returncode == code, f'{process.returncode}: {said}')
    for word in words:
        expect(word in said, f'no "{word}" in {said}')


def changed(stage, name, *swaps):
    """A copy of the cluster file with words swapped."""
    text = stage.cluster.read_text()
    for old, new in swaps:
        expect(old in text, f'{old} is not in {text}')
        text = text.replace(old, new, 1)
    path = stage.home / name
    path.write_text(text)
    return path


with Stage(workers=2) as stage, Stage(workers=2) as other:
    clip = stage.file('clip', 3_000_000)
    stage.put(clip)
    with stage.case('two processes that claim one data directory: the second '
                    'is refused and told who has it'):
        pid = str(stage.processes['w1'].pid)
        refused(stage, 'w1', 65, 'w1', pid)
        pid = str(stage.processes['origin'].pid)
        refused(stage, 'origin', 65, 'origin', pid)
    with stage.case('two processes that claim one worker name: the second is '
                    'refused'):
        second = changed(stage, 'second.yml', (f'{stage.home}/w1',
                                               f'{stage.home}/second'),
                         (stage.at['w1'], f'127.0.0.1:{stage.other_port()}'))
        refused(stage, 'w1', 65, 'w1', cluster=second)
        stage.wait_live('w1', 'w2')    # The first was not put out.
    with stage.case('a data directory of another cluster'):
        other.stop('w1')
        shutil.rmtree(other.home / 'w1')
        stage.stop('w1')
        shutil.copytree(stage.home / 'w1', other.home / 'w1')
        refused(other, 'w1', 65, 'cluster')
        stage.start('w1')
        stage.wait_live('w1', 'w2')
        stage.expect_same('clip', clip)
    with stage.case('an address that another has'):
        taken = changed(stage, 'taken.yml',
                        (stage.at['w2'], other.at['w2']),
                        (f'{stage.home}/w2', f'{stage.home}/fresh'))
        refused(stage, 'w2', 69, 'address', other.at['w2'].split(':')[1],
                cluster=taken)
    with stage.case('too few file descriptors: said before anything is done'):
        stage.stop('w2')
        refused(stage, 'w2', 78, 'descriptors',
                before=('prlimit', '--nofile=24:24'))
        stage.start('w2')

    wrong = {
        'an unknown key': (('space:', 'spaec:'), ('spaec', 'space')),
        'a wrong unit': (('space: 8GB', 'space: 8XB'), ('8XB',)),
        'two nodes of one name': (('name: w2', 'name: w1'), ('w1',)),
        'a port twice': ((stage.at['w2'], stage.at['w1']),
                         (stage.at['w1'].split(':')[1],)),
        'what is not YAML': (('workers:', 'workers: ['), ()),
        'no data directory': ((f'data: {stage.home}/w2, ', ''), ('data',)),
    }
    for what, (swap, words) in wrong.items():
        with stage.case(f'a cluster file with {what}: where, and what to do'):
            path = changed(stage, 'wrong.yml', swap)
            done = stage.rill('nodes', '-f', path)
            done.expect_error(78, 'wrong.yml:', *words)
            refused(stage, 'w1', 78, 'wrong.yml:', *words, cluster=path)
    with stage.case('a cluster file that is not there, a node it has not'):
        stage.rill('nodes', '-f', 'none.yml').expect_error(78, 'none.yml')
        done = subprocess.run([BIN / 'rill-storage', '-f', stage.cluster,
                               '--node', 'w9'], capture_output=True, text=True)
        expect(done.returncode in (64, 78) and 'w9' in done.stderr,
               f'{done}')
    with stage.case('nodes tells every node, its command and its address'):
        told = stage.rill('nodes', '-f', stage.cluster, '--json').expect(0)
        nodes = json.loads(told.text)['nodes']
        expect([n['name'] for n in nodes] == stage.names, f'{nodes}')
        expect([n['at'] for n in nodes] == list(stage.at.values()), f'{nodes}')
end()
