"""Workers that never come back: a stream waits, says for whom, and goes on
when somebody accepts the loss, which is recorded."""
from stage import SLOW, Relay, Stage, end, expect, stored, wait_for

PIECE = 100_000
LEFT = ('w1', 'w2')
GONE = ('w3', 'w4', 'w5', 'w6')
SEED = 8


def grow(stage, process, name, path, to):
    """Push what a file has up to `to`; all of it becomes stored."""
    with open(path, 'rb') as file:
        file.seek(at := stored(stage, name))
        while at < to:
            piece = file.read(min(PIECE, to - at))
            process.stdin.write(piece)
            process.stdin.flush()
            at += len(piece)
    wait_for(lambda: stored(stage, name) == to, f'{to} bytes are stored')


def push_whole(stage, name, path):
    """Push a file; False: another source still has the name."""
    with open(path, 'rb') as file:
        done = stage.rill('push', name, '-', stdin=file)
    expect(done.code in (0, 65), f'push ended with {done.code}: {done.err}')
    return done.code == 0


def lose(stage, *names):
    """Workers are gone with their disks, and the forwarder starts again."""
    stage.kill('origin', *names)
    stage.start('origin')
    stage.wait_live(*(n for n in stage.names[1:] if n not in names))


def holes(told):
    return [(hole['from'], hole['to']) for hole in told['holes']]


def kept(told, upto):
    """The ranges below `upto` that are no hole."""
    at = 0
    for first, to in holes(told):
        if at < min(first, upto):
            yield at, min(first, upto)
        at = to
    if at < upto:
        yield at, upto


#   A forwarder decides nothing for ten times its patience in seconds.
with Stage(patience=3 if SLOW else 1) as stage:
    path = stage.file('cam', 40 * PIECE, SEED)
    source = stage.begin('push', 'cam', '-')
    with stage.case('invariant 21: a stream that waits after a restart says '
                    'for whom, and what it would lose without them'):
        grow(stage, source, 'cam', path, 30 * PIECE)
        lose(stage, *GONE)
        told = stage.rill('stat', 'cam').expect_error(75, 'rill settle cam',
                                                      *GONE)
        expect('w1' not in told.err, f'it waits for who is there: {told.err}')
        status = stage.status()
        expect(status['waiting'] == 1, f'{status["waiting"]} streams wait')
        expect(set(status['waits_for']) == set(GONE), status['waits_for'])
        asked = stage.rill('settle', 'cam').expect(1)
        for word in (*GONE, 'blocks', '--accept-loss'):
            expect(word in asked.text, f'no "{word}" in {asked.text}')
        asked = stage.rill('settle', 'cam', '--json').expect(1).json()
        expect(asked['waits'] and not asked['accepted'] and
               asked['lost_blocks'] > 0, f'{asked}')
        stage.rill('stat', 'cam').expect(75)
    with stage.case('invariant 3: when they come back nothing is lost, and its '
                    'source goes on'):
        stage.start(*GONE)
        stage.wait_live(*stage.names[1:])
        wait_for(lambda: stored(stage, 'cam') == 30 * PIECE, 'it is recovered')
        expect(not stage.stat('cam')['holes'], 'a hole was made')
        stage.rill('settle', 'cam', '--accept-loss').expect(0)
        grow(stage, source, 'cam', path, 40 * PIECE)
    with stage.case('invariant 4: a loss that is accepted is a recorded hole, '
                    'and the stream goes on'):
        lose(stage, *GONE)
        stage.rill('settle', 'cam').expect(1)
        done = stage.rill('settle', 'cam', '--accept-loss').expect(0)
        expect('cam goes on' in done.text, done.text)
        told = stage.stat('cam')
        expect(told['lost_us'] > 0 and told['lost_from'] <= 40 * PIECE,
               f'{told}')
        expect('loss accepted' in stage.rill('stat', 'cam').text, 'no word')
        expect(stage.status()['waiting'] == 0, 'it waits on')
        source.kill()
        source.wait()
        wait_for(lambda: push_whole(stage, 'cam', path),
                 'the lease of the one that was killed is over')
        told = stage.stat('cam')
        begin = holes(told)[-1][1]
        expect(told['sealed'] and told['size'] == begin + 40 * PIECE,
               f'{told}')
        expect(stage.get('cam', '--range', f'{begin}-{told["size"]}').out ==
               path.read_bytes(), 'other bytes came after the loss')
    with stage.case('invariants 1 and 2: what was not lost is there again '
                    'with the workers, exact; the hole stays'):
        stage.start(*GONE)
        stage.wait_live(*stage.names[1:])
        told, whole = stage.stat('cam'), path.read_bytes()
        ranges = list(kept(told, 40 * PIECE))
        expect(ranges and ranges[0][0] == 0, f'{ranges}')
        for first, to in ranges:
            wait_for(lambda: stage.rill(
                'get', 'cam', '-o', '-', '--range', f'{first}-{to}').out
                == whole[first:to], f'{first} to {to} is read')
    with stage.case('a file that is put again goes on before the loss, and is '
                    'whole'):
        film = stage.file('film', 40_000_000, SEED + 1)
        with Relay(stage, up=20_000_000) as relay:
            process = stage.begin('put', film, at=relay.at)
            wait_for(lambda: stored(stage, 'film') > 10_000_000, 'some of it')
            lose(stage, *GONE)
            stage.rill('settle', 'film', '--accept-loss').expect(0)
            before = stage.stat('film')
            expect(not before['sealed'] and not before['holes'], f'{before}')
            process.kill()
            process.wait()
        stage.put(film)
        stage.start(*GONE)
        stage.wait_live(*stage.names[1:])
        wait_for(lambda: stage.rill('get', 'film', '-o', stage.home / 'back')
                 .code == 0, 'it is read')
        expect((stage.home / 'back').read_bytes() == film.read_bytes(),
               'other bytes came back')
    with stage.case('bad words to settle are refused'):
        stage.rill('settle', 'nothing').expect_error(1, 'rill ls')
        stage.rill('settle').expect_error(64)
end()
