"""Bad input: each gets one clear error that says what, where, what to do."""
import math
import sys
import time

from stage import (BIN, ROOT, SECONDS, STEADY, Relay, Stage, end, expect,
                   messages, stored, wait_for)

sys.path.insert(0, str(ROOT / 'tests/kit'))
from crooked import Crooked


class Searching(Crooked):
    """A node that looks for every stream, and lives meanwhile."""

    def on_watch(self, asked, watch):
        self.say(asked, watching={})

    def on_watch_keep(self, asked, keep):
        self.say(asked, watching={})


def fastest(do, enough=3.5, tries=5):
    """Seconds that `do` took at best: a busy machine may be late at times, a
    program that waits too long is late at all times."""
    took = []
    while len(took) < tries and (not took or min(took) >= enough):
        begun = time.monotonic()
        do()
        took.append(time.monotonic() - begun)
    return min(took)


with Stage(patience=STEADY) as stage:
    clip = stage.file('clip', 1_000_000)
    stage.put(clip)
    with stage.case('a FILE that is missing or cannot be read'):
        stage.rill('put', 'nowhere.ts', '--as', 'x').expect_error(
            74, 'nowhere.ts', 'no such file')
        stage.rill('put', stage.home, '--as', 'x').expect_error(
            74, str(stage.home), 'directory')
        stage.rill('get', 'x').expect_error(1, 'x')
    with stage.case('a FILE that changes while it is stored'):
        big = stage.file('big', 300_000_000)
        with Relay(stage, up=20_000_000) as relay:
            process = stage.begin('put', big, '--as', 'big', at=relay.at)
            wait_for(lambda: stored(stage, 'big') > 0, 'something is stored')
            with open(big, 'r+b') as file:
                file.truncate(1000)
            relay.let(up=math.inf)
            _, err = process.communicate()
        expect(process.returncode in (65, 74), f'{process.returncode} {err}')
        expect(b'changed' in err or b'shorter' in err, f'{err}')
    with stage.case('a NAME that is bad or too long'):
        for name in ('', '.x', 'a/b', 'ä', 'n' * 129, 'a b'):
            stage.rill('put', clip, '--as', name).expect_error(64, 'name')
        stage.put(clip, 'n' * 128)
    with stage.case('a NAME that is taken by a sealed stream'):
        other = stage.file('other', 1000)
        stage.rill('put', other, '--as', 'clip').expect_error(65, 'clip')
        stage.rill('push', 'clip', other).expect_error(65, 'clip')
        stage.expect_same('clip', clip)
    with stage.case('a NAME that is unknown'):
        for verb in (['get', 'none', '-o', '-'], ['stat', 'none'],
                     ['rm', 'none']):
            stage.rill(*verb).expect_error(1, 'none')
    with stage.case('a protection that is none or that six cannot carry'):
        for code in ('4', '4-2', '0+1', 'x', '99+1', '4+9'):
            stage.rill('put', clip, '--as', 'y', '--protect', code) \
                 .expect_error(64, 'protect')
        stage.rill('put', clip, '--as', 'y', '--protect', '8+2', '--strict') \
             .expect_error(65, 'worker')
    with stage.case('more protection than there are workers: narrower, and '
                    'said'):
        narrower = stage.put(clip, 'narrower', '--protect', '8+2')
        expect('4+2' in narrower.err, f'does not say so: {narrower.err}')
        stage.expect_same('narrower', clip)
    with stage.case('a chunk size that is none'):
        for size in ('0', '-1', 'big', '100GB', '1XB'):
            stage.rill('put', clip, '--as', 'z', f'--chunk={size}') \
                 .expect_error(64, 'chunk')
    with stage.case('a verb or option that is none, and a word too many'):
        stage.rill('putt', clip).expect_error(64, 'putt')
        stage.rill('put', clip, '--ass', 'x').expect_error(64, '--ass')
        stage.rill('stat', 'a', 'b').expect_error(64)
        stage.rill('put').expect_error(64)
        stage.rill('--json', 'ls').expect_error(64, 'behind the verb')
        stage.rill('put', '-').expect_error(64, 'rill push')
    with stage.case('a watch that ends before it begins; one from before there '
                    'was anything begins with the first byte'):
        stage.rill('watch', 'clip', '--from', '9', '--to', '5').expect_error(
            64, '--to 5')
        expect(stage.rill('watch', 'clip', '--from', '-99999999h', '--at',
                          stage.at['origin']).expect(0).out
               == clip.read_bytes(), 'other bytes')
    with stage.case('a forwarder that is not there: 69 within 3 s'):
        nobody = f'127.0.0.1:{stage.other_port()}'
        for verb in (['status'], ['ls'], ['get', 'clip', '-o', '-'],
                     ['put', clip, '--as', 'x'], ['push', 'x', clip]):
            expect(fastest(lambda: stage.rill(*verb, at=nobody)
                           .expect_error(69, nobody)) < 3.5, f'{verb[0]} is '
                   'late')
        for most in ('100ms', '2s'):
            done = stage.rill('watch', 'clip', '--for', most, '-o', 'none',
                              at=nobody)
            expect(done.code == 69 or most == '100ms' and done.code == 75,
                   f'exit {done.code} after {most}')
            expect(f'nobody answers at {nobody}' in done.err, done.err)
        expect(not (stage.home / 'none').exists(), 'a file of nothing')
        with Searching(messages()) as node:
            for most in ('300ms', '20s'):   # As long as a busy machine needs.
                done = stage.rill('watch', 'clip', '--for', most, '-o', 'none',
                                  at=node.at)
                if 'nobody answers' not in done.err:
                    break
            done.expect_error(75, f'{node.at} answered', 'not found')
        #   Nor is the origin blamed for a director that took the time.
        process = stage.begin('watch', 'clip', '--from', 'start', '--for', '2s',
                              '-o', stage.home / 'all', RILL_DIRECTOR=nobody)
        _, err = process.communicate()
        expect(process.returncode == 0, f'{process.returncode}: {err}')
        expect((stage.home / 'all').read_bytes() == clip.read_bytes(), 'others')
        stage.rill('status', at='nonsense').expect_error(64, 'nonsense')
    with stage.case('a file that cannot be written'):
        stage.rill('get', 'clip', '-o', stage.home / 'no' / 'dir') \
             .expect_error(74, 'no/dir')
        stage.rill('get', 'clip', '-o', '/dev/full').expect_error(74)
    with stage.case('a standard input or output that is closed: nothing else '
                    'is read or written in its place'):
        for verb, closed in ((['push', 'closed', '-'], '<&-'),
                             (['get', 'clip'], '>&-')):
            stage.run('sh', '-c', f'"$@" {closed}', 'sh', BIN / 'rill', *verb,
                      '--at', stage.at['origin']).expect_error(
                74, 'Bad file descriptor')
with Stage(workers=2, start=False) as stage:
    stage.start('origin')
    with stage.case('no worker registered'):
        clip = stage.file('clip', 1000)
        done = stage.rill('put', clip)
        done.expect_error(75, 'worker')
    with stage.case('who waits as long as was said gives up; a push that was '
                    'let in says that it waits, and goes on'):
        stage.rill('put', clip, '--wait', 'soon').expect_error(64, '--wait')
        stage.rill('put', clip, '--wait', '200ms').expect_error(75, 'worker')
        stage.start('w1', 'w2')
        stage.wait_live('w1', 'w2')
        stays = stage.begin('push', 'stays', '-')
        gives_up = stage.begin('push', 'gives-up', '-', '--wait', '1s')
        for process, name in ((stays, 'stays'), (gives_up, 'gives-up')):
            process.stdin.write(b'a' * 1000)
            process.stdin.flush()
            wait_for(lambda: stored(stage, name) == 1000, f'{name} is stored')
        stage.kill('w1', 'w2')
        for process in (stays, gives_up):
            process.stdin.write(b'b' * 1000)
            process.stdin.flush()
        expect(gives_up.wait(SECONDS) == 75, f'exit {gives_up.returncode}')
        said = stays.stderr.readline()
        expect(b'stays waits' in said, f'{said}')
        stage.start('w1', 'w2')
        wait_for(lambda: stored(stage, 'stays') == 2000, 'it goes on')
        stays.stdin.close()
        expect(stays.wait(SECONDS) == 0, f'exit {stays.returncode}')
        expect(stage.get('stays').out == b'a' * 1000 + b'b' * 1000, 'others')
end()
