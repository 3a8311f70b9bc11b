"""Workers that come back: what does not count goes, what they lack is listed."""
import collections
import shutil

from stage import CHUNK, STEADY, Stage, end, expect, wait_for

SIZE = 40_000_000


def placed(stage, *names):
    """Chunks that each worker should keep, and of them those it lacks."""
    kept, lacking = collections.Counter(), collections.Counter()
    for name in names:
        for chunk in stage.stat(name, '--chunks')['chunks']:
            kept[chunk['worker']] += 1
            lacking[chunk['worker']] += chunk['missing']
    return kept, lacking


def workers(stage):
    """What status says of the stores that run, by name; and of the others."""
    told = stage.status()['workers']
    return ({w['name']: w for w in told if w['state'] == 'live'},
            [w for w in told if w['state'] == 'away'])


def wait_tidy(stage, *names):
    """Every store holds what placement says and nothing else, and status lists
    what it lacks; returns that."""
    def tidy():
        kept, lacking = placed(stage, *names)
        live, _ = workers(stage)
        return len(live) == len(stage.names) - 1 and all(
            w['chunks'] == kept[n] - lacking[n] and
            w['under_repair'] == lacking[n] for n, w in live.items()) and [
                lacking]
    return wait_for(tidy, f'what {names} take is all that is kept')[0]


def push_half_a_block(stage, data):
    """A push that has stored one block of four chunks and a parity of two, and
    waits with three chunks of the next: each of these is on its disk, and not
    stored. Returns it, and the workers that have one of the three."""
    process = stage.begin('push', 'film', '-', '--chunk', str(CHUNK),
                          '--buffer', '60s')    # Blocks of four minutes.
    process.stdin.write(data[:7 * CHUNK])
    process.stdin.flush()

    def kept():
        return {n: w['chunks'] for n, w in workers(stage)[0].items()}
    wait_for(lambda: sum(kept().values()) == 6 + 3, 'nine chunks are kept')
    return process, [name for name, chunks in kept().items() if chunks == 2]


with Stage(patience=STEADY) as stage:
    path = stage.file('film', SIZE)
    with stage.case('R13: a worker is killed under a push and comes back: what '
                    'was dealt again is dropped everywhere, nothing is '
                    'missing'):
        process, halves = push_half_a_block(stage, path.read_bytes())
        expect(len(halves) == 3, f'{halves} have two chunks')
        stage.kill(halves[0])
        process.stdin.write(path.read_bytes()[7 * CHUNK:])
        process.stdin.close()
        expect(process.wait() == 0, process.stderr.read().decode())
        stage.start(halves[0])
        stage.wait_live(*stage.names[1:])
        lacking = wait_tidy(stage, 'film')
        expect(not +lacking, f'{lacking} are missing')
        wait_for(lambda: stage.counters()['records_swept_total'] >= 3,
                 'all three were dealt again')
        wait_for(lambda: stage.status()['under_protected'] == 0,
                 'nothing is under-protected')
        stage.expect_same('film', path)
    with stage.case('invariant 5: a worker comes back with an older copy of '
                    'its disk: what it lacks is listed, by worker and stream'):
        stage.stop('w3')
        shutil.copytree(stage.home / 'w3', stage.home / 'w3.old')
        stage.start('w3')
        stage.wait_live(*stage.names[1:])
        late = stage.file('late', 9_000_001, seed=2)
        stage.put(late)
        stage.stop('w3')
        shutil.rmtree(stage.home / 'w3')
        (stage.home / 'w3.old').rename(stage.home / 'w3')
        stage.start('w3')
        stage.wait_live(*stage.names[1:])
        lacking = wait_tidy(stage, 'film', 'late')
        expect(lacking['w3'] > 0 and len(+lacking) == 1, f'lacking {lacking}')
        expect(stage.stat('late')['under_protected'] == lacking['w3'],
               'stat says otherwise')
        expect(stage.stat('film')['under_protected'] == 0, 'film lacks some')
        stage.expect_same('late', late)
    with stage.case('invariant 5: a wiped disk comes back as another store; the '
                    'old one stays away and is listed, after a restart too'):
        was = workers(stage)[0]['w5']
        stage.stop('w5')
        shutil.rmtree(stage.home / 'w5')
        stage.start('w5')
        stage.wait_live(*stage.names[1:])
        for _ in range(2):
            def listed():
                live, away = workers(stage)
                lost = [w for w in away if w['store'] == was['store']]
                return (live['w5']['chunks'] == 0 and
                        live['w5']['under_repair'] == 0 and lost and
                        lost[0]['under_repair'] == was['chunks'])
            wait_for(listed, f'{was["chunks"]} chunks of w5 are listed as lost')
            stage.expect_same('film', path)
            stage.kill('origin')
            stage.start('origin')
            stage.wait_live(*stage.names[1:])
    with stage.case('a removed stream leaves nothing behind, on a disk that '
                    'was away meanwhile either'):
        stage.stop('w4')
        stage.rill('rm', 'late').expect(0)
        stage.start('w4')
        stage.wait_live(*stage.names[1:])
        wait_tidy(stage, 'film')
end()
