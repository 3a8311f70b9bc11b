"""What an SRE sees with `rill tap`: a slow node by its name, events in every
form, a recording that says the same as the life that it was made of.
"""
import collections
import os
import re
import signal
import subprocess
import time

from stage import BIN, STEADY, Stage, end, expect, wait_for

GROUPS = {'region': 'parents: [origin], siblings: unicast',
          'town': 'parents: [r1], siblings: unicast'}
CACHES = {'r1': 'region', 't1': 'town', 't2': 'town'}
NODES = {'origin', 'w1', 'w2', 'w3', 'r1', 't1', 't2', 'director'}
HELD = 1.0          # Seconds that a node is held: what `ms > 500` finds.


class Tap:
    """A `rill tap` that runs; what it printed goes to files."""

    def __init__(self, stage, *args):
        self.out = stage.home / f'tap-{len(stage.others)}'
        self.err = self.out.with_suffix('.err')
        with open(self.out, 'wb') as out, open(self.err, 'wb') as err:
            self.process = subprocess.Popen(
                [BIN / 'rill', 'tap', *map(str, args)], cwd=stage.home,
                env=dict(os.environ, RILL_AT='',
                         RILL_DIRECTOR=stage.at['director']),
                stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        stage.others.append(self.process)
        wait_for(lambda: 'listening to' in self.said() or
                 self.process.poll() is not None, 'it listens')
        expect(self.process.poll() is None, self.said())

    def said(self):
        return self.err.read_text()

    def heard(self):
        """Whom it hears: at the beginning, and who was slow to answer."""
        said = self.said()
        return {*said.split('listening to ')[1].split('\n')[0].split(': ')[1]
                .split(', '), *re.findall(r'^(\S+) is heard$', said, re.M)}

    def lines(self):
        return self.out.read_text().splitlines()

    def end(self):
        """As with ctrl-C; what it printed."""
        self.process.send_signal(signal.SIGINT)
        expect(self.process.wait(60) == 0, self.said())
        return self.lines()


def begin(stage, *args, **more):
    return stage.begin('tap', *args, RILL_DIRECTOR=stage.at['director'], **more)


def ended(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(), err.decode()


def tap(stage, *args, **more):
    """One that ends by itself."""
    return ended(begin(stage, *args, **more))


def find_slow(stage, name, least='500ms', warm=()):
    """Hold a node by hand; which one does the tap name? `warm`: what caches get
    before. What a worker or a sibling does not give comes from others: they are
    held until then.
    """
    probe = Tap(stage, 't1', '-g', 'request', '-q',
                f'ms > {least} and not asker', '-C', 1)
    turn = 0
    while probe.process.poll() is None:
        turn += 1
        clip = stage.file(f'{name}-{turn}', 300_000, seed=turn)
        stage.put(clip)
        for cache, part in warm:
            stage.rill('get', clip.name, '-o', '-', '--range', part,
                       at=stage.at[cache]).expect(0)
        stage.signal(name, signal.SIGSTOP)
        get = stage.begin('get', clip.name, '-o', '-', at=stage.at['t1'])
        if name in ('r1', 'origin'):
            time.sleep(HELD)
            stage.signal(name, signal.SIGCONT)
        data, _ = get.communicate(timeout=60)
        stage.signal(name, signal.SIGCONT)
        expect(data == clip.read_bytes(), 'bytes')
        until = time.monotonic() + HELD
        while probe.process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        expect(turn < 20, 'no request was slow')
    text = probe.out.read_text()
    slow = [line for line in text.splitlines() if '<- most of it' in line]
    expect(len(slow) == 1 and slow[0].split()[0] == name, text)
    print('\n'.join('# ' + line for line in text.splitlines()))


with Stage(workers=3, groups=GROUPS, caches=CACHES, director='rules: [light]',
           patience=STEADY) as stage:
    with stage.case('an SRE finds the node that is slowed by hand, at every '
                    'tier, with rill tap -g request'):
        for name in ('r1', 'origin'):
            find_slow(stage, name)
    with stage.case('record 1, tap_show 2: what was recorded is what others saw '
                    'live, nothing is lost'):
        wanted = 'stream ~ "cl*" or kind == chunk_stored'    # It has no name.
        live = Tap(stage, '-q', wanted)
        recorder = Tap(stage, '-q', wanted, '-w', 'tape')
        for one in live, recorder:
            wait_for(lambda: one.heard() == NODES, 'all nodes are heard')
        clip = stage.file('clip', 2_000_000)
        stage.put(clip)
        stage.rill('get', 'clip', '-o', '-', at=stage.at['t1']).expect(0)

        def same():
            code, out, _ = tap(stage, '-r', 'tape')
            return code == 0 and sorted(out.splitlines()) == sorted(
                live.lines()) and 'source_ended' in out and \
                ' t1 ' in out and out.count('chunk_stored') == 12
        wait_for(same, 'the recording says what was said live')
        expect(not recorder.end(), 'it printed what it recorded')
        expect('recorded' in recorder.said() and
               'lost' not in recorder.said() + live.said(), recorder.said())
        live.end()
    code, whole, err = tap(stage, '-r', 'tape')
    lines = whole.splitlines()
    kinds = collections.Counter(line.split()[2] for line in lines)
    with stage.case('tap_show 1: a recording is filtered, grouped and limited; '
                    'what is one too many is counted'):
        for kind in ('chunk_dealt', 'chunk_stored', 'request', 'source_opened'):
            expect(kinds[kind], f'no {kind} in {kinds}')
        _, out, _ = tap(stage, '-r', 'tape', '-k', 'chunk_dealt,source_*')
        expect(len(out.splitlines()) == kinds['chunk_dealt'] +
               kinds['source_opened'] + kinds['source_ended'], out)
        _, out, _ = tap(stage, 'w1', '-r', 'tape')
        expect(out.splitlines() == [line for line in lines
                                    if line.split()[1] == 'w1'], out)
        _, out, _ = tap(stage, 'worker,t*', '-r', 'tape')
        expect({line.split()[1] for line in out.splitlines()} ==
               {'w1', 'w2', 'w3', 't1'}, out)
        _, out, _ = tap(stage, '-r', 'tape', '-C', '3')
        expect(out.splitlines() == lines[:3], out)
        code, out, err = tap(stage, '-r', 'tape', '-R', '2/h')
        expect(code == 0 and out.splitlines() == lines[:2] and
               f'{len(lines) - 2} more' in err, err)
        with open(stage.home / 'tape', 'rb') as tape:
            _, out, _ = tap(stage, '-r', '-', '--json', stdin=tape)
        expect(len(out.splitlines()) == len(lines) and
               out.count('"stream":"') == len(lines), out)
        code, out, _ = tap(stage, '-r', 'tape', '-g', 'request', '-q',
                           'route == store and node == origin')
        trees = [line for line in out.splitlines() if line[0] != ' ']
        expect(code == 0 and len(trees) >= 7, out)
        for name in ('t1', 'r1', 'origin'):
            expect(out.count(f' {name} ') >= len(trees), out)
        expect(tap(stage, '-r', 'tape', '-q', 'ms > 1h')[0] == 1, 'exit')
    with stage.case('record 1: a recording that is cut short or damaged is '
                    'told, what is before it is shown'):
        tape = (stage.home / 'tape').read_bytes()
        (stage.home / 'cut').write_bytes(tape[:-5])
        code, out, err = tap(stage, '-r', 'cut')
        expect(code == 65 and 'cut short at byte' in err and
               out.splitlines() == lines[:-1], err)
        half = bytearray(tape)
        half[len(tape) // 2] ^= 16
        (stage.home / 'flipped').write_bytes(half)
        code, out, err = tap(stage, '-r', 'flipped')
        shown = out.splitlines()
        expect(code == 65 and f'behind {len(shown)} events' in err and
               0 < len(shown) < len(lines) and
               shown == lines[:len(shown)], err)
        code, _, err = tap(stage, '-r', 'clip')
        expect(code == 65 and 'at byte 0' in err, err)
        expect(tap(stage, '-r', 'nowhere')[0] == 74, 'exit')
    with stage.case('what is wrong with a filter or query is told with its '
                    'place'):
        for args, *says in [
                (['-q', 'ms > fast'], 'byte 6', 'a time'),
                (['-q', '(ms > 5'], 'byte 8', '")"'),
                (['-q', 'speed > 5'], 'byte 1', 'no event has a field'),
                (['-k', 'request,nothing'], 'byte 9', '"nothing"'),
                (['-g', 'session'], '-g request'),
                (['-C', '0'], '-C'), (['-R', 'many'], '-R'),
                (['-W', 'long'], '-W'), (['-k', 'request', '-q', 'parity'],
                                         'no kind of event'),
                (['-q', 'status == fine'], 'byte 11', 'limit, not "fine"'),
                (['-g', 'request', '-w', 'x'], 'record without'),
                (['-r', 'tape', '-w', 'tape'], 'would overwrite'),
                (['-r', 'tape', '-d'], '-r reads'),
                (['nobody'], 'nobody', 'origin')]:
            code, out, err = tap(stage, *args)
            expect(code == 64 and not out and all(s in err for s in says),
                   f'{args}: {code} {err}')
        expect((stage.home / 'tape').read_bytes() == tape, 'the tape is kept')
    with stage.case('-d tells what was before, -C and -W end it'):
        code, out, err = tap(stage, '-d', '-k', 'worker_registered', '-C', '3')
        expect(code == 0 and {line.split('worker=')[1].split()[0] for line in
                              out.splitlines()} == {'w1', 'w2', 'w3'}, out)
        code, out, err = tap(stage, 'origin', '-k', 'worker_lost', '-W', '0.1')
        expect(code == 1 and not out and 'listening to 1 node: origin' in err,
               err)
    with stage.case('an SRE finds a node that was given up: a sibling, a '
                    'worker'):
        find_slow(stage, 't2', '2s', warm=[('t2', '0-'), ('t1', '0-1')])
        find_slow(stage, 'w1', '2s')
    with stage.case('listener 2: who is not there, goes or comes back is '
                    'named; nobody there is exit 69'):
        both = Tap(stage, 'r1,t2,t22')
        expect('no node is known as "t22"' in both.said(), both.said())
        stage.kill('r1')
        stage.kill('t2')
        wait_for(lambda: 'r1 has gone' in both.said(), 'it says who is gone')
        stage.start('r1')
        wait_for(lambda: 'r1 is heard' in both.said(), 'it says who is back')
        both.end()
        some = begin(stage, 't1,t2', '-f', 'cluster.yml', '-k', 'worker_lost',
                     '-W', '0.1')
        none = begin(stage, 't2')
        nobody = begin(stage, '--at', f'127.0.0.1:{stage.other_port()}')
        code, _, err = ended(some)
        expect(code == 1 and 't2 at ' in err and 'does not answer' in err and
               'listening to 1 node: t1' in err, err)
        code, _, err = ended(none)
        expect(code == 69 and 'does not answer' in err, err)
        code, _, err = ended(nobody)
        expect(code == 69 and 'nobody answers' in err, err)
    with stage.case('rill top shows nothing as known of a worker that is gone'):
        stage.kill('w1')
        top = [stage.rill('top', '-1', *more, '--at', stage.at['director'])
               .expect(0) for more in ((), ('--json',))]
        row, = re.findall(r'^w1 .*', top[0].text, re.M)
        expect(row.split() == ['w1', 'SILENT', *'------'], row)
        gone, there = top[1].json()['workers'][:2]
        expect(gone['answers'] is False and 'bytes' not in gone and
               there['at'] == stage.at['w2'], f'{gone} {there}')
end()
