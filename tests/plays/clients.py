"""Clients in other languages: each goes through the same on one live tree.

  clients.py [LANGUAGE...]     the folders of protocols/clients, by default all

What `conform` prints is said in protocols/clients/README.md.
"""
import concurrent.futures
import json
import os
import select
import subprocess
import sys
import tempfile
import time

from stage import (ROOT, SECONDS, SLOW, STEADY, WITH_US, Failed, Stage, case,
                   end, expect, messages, stored, wait_for)

sys.path.insert(0, str(ROOT / 'tests/kit'))
from crooked import CONTENT, HOLE, STREAM, Crooked, Quiet, what_is_there

CLIP = ('ffmpeg -v error -f lavfi -i testsrc2=size=640x360:rate=25 '
        '-f lavfi -i sine=frequency=440 -t 6 -c:v mpeg2video -b:v 4M '
        '-minrate 4M -maxrate 4M -bufsize 1M -c:a mp2 -f mpegts -')
GROUPS = {'region': 'parents: [origin], window: 1h, siblings: unicast',
          'town': 'parents: [r1], siblings: unicast, window: 1h'}
CACHES = {'r1': 'region', 't1': 'town', 't2': 'town'}
#   Everybody is sent to t1 while it is there.
DIRECTOR = 'rules: [preferred], preferred: [t1, t2]'
PATIENCE = 31       # Seconds; a client's are 30.
RETRIES = ['never', 'later', 'elsewhere', 'reopen', 'never']   # 4: of tomorrow.
FAULTS = dict(version='version', garbage='malformed', headless='malformed',
              bare='malformed', longer='malformed', large='too_large',
              tomorrow='kind')


def statuses(message):
    """Each status of the contract but OK: its word and its number."""
    refused = message.DESCRIPTOR.fields_by_name['refused'].message_type
    return [(value.name.removeprefix('STATUS_').lower(), value.number)
            for value in refused.fields_by_name['status'].enum_type.values
            if value.number]


class Conform:
    """One run of a language's program, to its end or beside others."""

    def __init__(self, language, *words):
        self.words = [str(w) for w in words]
        self.printed = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*WITH_US, ROOT / 'build/clients' / language / 'conform',
             *self.words], stdin=subprocess.DEVNULL, stdout=self.printed,
            stderr=subprocess.STDOUT)

    def told(self):
        """What it printed so far."""
        return os.pread(self.printed.fileno(), 1 << 20, 0)

    def end(self, code=0):
        """What it printed, as objects."""
        late = ''
        try:
            self.process.wait(SECONDS * 2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            late = f', no end within {SECONDS * 2} s'
        told = self.told()
        said = f'{self.words}: exit {self.process.returncode}{late}: ' \
            f'{told[-4000:].decode()}'
        expect(self.process.returncode == code, said)
        try:
            return [json.loads(line) for line in told.splitlines()]
        except json.JSONDecodeError:
            raise Failed(said) from None

    def error(self):
        """The one error it ended with."""
        told = self.end(1)
        expect(len(told) == 1 and 'error' in told[0], f'{told}')
        return told[0]['error']


class Client:
    """One language on the stage."""

    def __init__(self, stage, language, clip):
        self.stage, self.language, self.clip = stage, language, clip
        self.home = stage.home / language
        self.home.mkdir()
        self.live = f'live-{language}'

    def at(self, node):
        return self.stage.at[node]

    def begin(self, *words):
        return Conform(self.language, *words)

    def run(self, *words):
        return self.begin(*words).end()

    def refused(self, status, *words):
        told = self.begin(*words).error()
        expect(told['status'] == status and told['text'], f'{words}: {told}')
        return told

    def case(self, says):
        return case(f'{self.language}: {says}', self.stage.show_logs)

    #   Alone, and with a node that is crooked

    def golden(self):
        with self.case('every message, event and sample of tests/wire is read '
                       'and packed to the same bytes'):
            told = self.run('golden', ROOT / 'tests/wire')
            there = {p.name for p in (ROOT / 'tests/wire').glob('*.bin')}
            expect({t['file'] for t in told} == there - {'chunk_header.bin'},
                   'some are left out')
            expect(all(t['same'] for t in told), f'{told}')

    def crooked(self, message):
        with Crooked(message) as node:
            self.refusals(node, [*statuses(message), ('unlisted', 85),
                                 ('unlisted', 200)])
            self.bad_reads(node)
            self.bad_tap(node)
            self.bad_nodes(node)
            self.bad_sources(node)
            with self.case('nothing that it says breaks a rule of WIRE.md'):
                expect(not node.wrong, f'{node.wrong}')

    def refusals(self, node, statuses):
        with self.case('invariant 19: every refusal is its word, what may be '
                       'done and the nearest offset; what is wrong on the wire '
                       'ends its question and not the next one'):
            asked = [*((status, 0) for status in statuses),
                     *((statuses[0], retry) for retry in range(5))]
            names = [*(f'status-{number}-{retry}'
                       for (_, number), retry in asked), *FAULTS, 'status-0-1']
            *told, fine = self.begin('describe', node.at, *names,
                                     'fine').end(1)
            told = [t['error'] for t in told]
            want = [(word, RETRIES[retry], 7) for (word, _), retry in asked]
            want += [(word, 'never', 0) for word in FAULTS.values()]
            want += [('malformed', 'never', 0)]
            expect([(t['status'], t['retry'], t['offset']) for t in told]
                   == want, f'{told}')
            expect(fine['name'] == 'fine' and fine['sealed'] is True
                   and fine['stream'] == f'{STREAM:016x}', f'{fine}')

    def bad_reads(self, node):
        with self.case('invariants 2 and 9: what is refused for the moment or '
                       'has a wrong CRC is asked for again; chunks of any '
                       'length are trimmed; a hole is told'):
            out = self.home / 'flaky'
            told = self.run('read', node.at, 'flaky', out)
            expect(told == [{'hole': list(HOLE)},
                            {'bytes': len(CONTENT) - HOLE[1] + HOLE[0]}],
                   f'{told}')
            expect(out.read_bytes() == what_is_there(), 'other bytes')

    def bad_tap(self, node):
        with self.case('a tap at an address that is none is said'):
            self.refused('address', 'tap', node.at, 'all', 1)

    def bad_nodes(self, node):
        with self.case('invariants 9 and 12: wrong bytes, lost and repeated '
                       'chunks, a node that stops, forgets, speaks another '
                       'version or is silent: it goes on at its own byte'):
            out = self.home / 'broken'
            #   Twice: a busy machine may not reach it within a second.
            told = self.run('watch', '127.0.0.1:1', 'broken', 'start', out,
                            '--at', f'{node.at},{node.at}')
            expect([t['from'] for t in told if 'from' in t] ==
                   [100, 100_000, 150_000, 300_000, 500_000, 500_000, 700_000],
                   f'{told}')
            expect([t['skip'] for t in told if 'skip' in t] == [list(HOLE)]
                   and told[-1] == {'bytes': len(what_is_there()) - 100,
                                    'ended': True}, f'{told}')
            expect(out.read_bytes() == what_is_there()[100:], 'other bytes')
        with self.case('invariant 18: a node has credit for a window over '
                       'what was taken, and hears Stop'):
            out = self.home / 'endless'
            told = self.run('watch', '127.0.0.1:1', 'endless', 'start', out,
                            '--at', node.at, '--bytes', 12_500_000)
            expect(told[-1] == {'bytes': 12_500_000, 'ended': False},
                   f'{told}')
            expect(out.stat().st_size == 12_500_000, 'other bytes')
            wait_for(lambda: node.stopped, 'Stop is said')

    def bad_sources(self, node):
        with self.case('invariants 2 and 7: a source keeps to its credit, and '
                       'after SESSION or silence goes on where it was stored '
                       'with the same token; it ends when all is settled'):
            path = self.home / 'tight'
            path.write_bytes(CONTENT)
            told = self.run('publish', node.at, 'tight', path, 'recorded')
            expect(told == [{'stream': f'{STREAM:016x}',
                             'bytes': len(CONTENT)}], f'{told}')
            expect(node.source['bytes'] == CONTENT, 'other bytes')
            expect(node.source['opened'] == 3, f'{node.source["opened"]}')

    #   On the tree

    def recorded(self):
        name, out = f'clip-{self.language}', self.home / 'out'
        data = self.clip.read_bytes()
        with self.case('invariants 2 and 13: a real clip that it published is '
                       'read back exact from the origin and a cache, whole '
                       'and in part; an empty file too'):
            told = self.run('publish', self.at('origin'), name, self.clip,
                            'recorded')
            expect(told[0]['bytes'] == len(data), f'{told}')
            self.stage.expect_same(name, self.clip)
            for node in ('origin', 't2'):
                told = self.run('read', self.at(node), name, out)
                expect(told == [{'bytes': len(data)}], f'{told}')
                expect(out.read_bytes() == data, 'other bytes')
            self.run('read', self.at('t1'), name, out, '1000-900000')
            expect(out.read_bytes() == data[1000:900_000], 'other bytes')
            empty = self.home / 'empty'
            empty.write_bytes(b'')
            self.run('publish', self.at('origin'), f'empty-{self.language}',
                     empty, 'recorded')
            self.run('read', self.at('t1'), f'empty-{self.language}', out)
            expect(out.read_bytes() == b'', 'bytes of nothing')
        with self.case('it lists and describes what is there'):
            want = dict(name=name, kind='recorded', stored=len(data),
                        size=len(data), sealed=True)
            for told in (self.run('list', self.at('r1')),
                         self.run('describe', self.at('t1'), name)):
                expect(any(want.items() <= t.items() for t in told), f'{told}')

    def real_refusals(self, nobody):
        name, out = f'clip-{self.language}', self.home / 'out'
        origin = self.at('origin')
        with self.case('invariant 19: each refusal of the tree has its word; '
                       'a node that is not there is unreachable'):
            nowhere = [self.begin('list', nobody),
                       self.begin('watch', nobody, name, 'start', out),
                       self.begin('read', nobody, name, out)]
            self.refused('address', 'list', 'nonsense')
            self.refused('unknown', 'describe', origin, 'none')
            self.refused('unknown', 'watch', self.at('director'), 'none',
                         'start', out)
            self.refused('name', 'publish', origin, '.x', self.clip)
            self.refused('sealed', 'publish', origin, name, self.clip)
            self.refused('taken', 'publish', origin, 'busy', self.clip)
            size = self.clip.stat().st_size
            told = self.refused('range', 'read', origin, name, out,
                                f'{size + 5}-{size + 9}')
            expect(told['offset'] == size, f'{told}')
            self.refused('range', 'watch', self.at('t1'), name, size + 5, out)
            self.refused('future', 'read', origin, 'busy', out, '5000-6000')
            self.refused('future', 'watch', self.at('t1'), 'busy', 5000, out)
            for words in nowhere:
                told = words.error()
                expect(told['status'] == 'unreachable'
                       and told['retry'] == 'later', f'{told}')

    def open(self, at, name):
        """Begin to publish, from a pipe that the play fills."""
        path = self.home / f'pipe-{name}'
        os.mkfifo(path)
        pipe = os.open(path, os.O_RDWR)
        return pipe, self.begin('publish', at, name, path, 'live')

    def go_live(self):
        self.pipe, self.publisher = self.open(self.at('origin'), self.live)
        self.left = memoryview(self.clip.read_bytes())

    def hold(self):
        """Begin to read and to watch a film, and take next to nothing of it."""
        self.held = []
        for words in (('read', self.at('r1'), 'film'),
                      ('watch', self.at('director'), 'film', 'start')):
            pipe = self.home / f'held-{words[0]}'
            os.mkfifo(pipe)
            self.held.append((os.open(pipe, os.O_RDONLY | os.O_NONBLOCK),
                              self.begin(*words, pipe)))

    def write(self, most, seconds):
        """The next bytes; returns whether there was room for them in time."""
        there = select.select([], [self.pipe], [], seconds)[1]
        if there:
            self.left = self.left[os.write(self.pipe, self.left[:most]):]
        return there

    def feed(self, left=0):
        """All of the clip but so many bytes."""
        while len(self.left) > left:
            expect(self.write(select.PIPE_BUF, SECONDS),
                   f'{self.language} takes no more: '
                   + self.publisher.told().decode())

    def watch(self):
        """From the beginning at a list, and live where the director says."""
        at = f'{self.at("t1")},{self.at("t2")}'
        self.files = [self.home / 'first', self.home / 'live']
        self.ways = [(self.at('director'), self.live, 'start', self.files[0],
                      '--at', at),
                     (self.at('director'), self.live, 'live', self.files[1])]
        self.killed = [self.at('t1'), 't1']
        self.watchers = [self.begin('watch', *way) for way in self.ways]

    def has_begun(self):
        """Both, where the kill will meet them: a busy machine may not reach
        that node within a second, and who went to the next begins anew."""
        begun = [watcher.told().partition(b'\n') for watcher in self.watchers]
        for i, (first, line, _) in enumerate(begun):
            if line and json.loads(first).get('node') != self.killed[i]:
                self.watchers[i].process.kill()
                self.watchers[i].process.wait()
                self.watchers[i] = self.begin('watch', *self.ways[i])
                return False
        return all(line for _, line, _ in begun)

    def has_bytes(self, left):
        """Both; until then the stream grows, as live ones do, but for the last
        bytes."""
        there = all(f.stat().st_size > 0 for f in self.files)
        if not there and len(self.left) > left:
            self.write(512, 0)
        return there

    def end_live(self):
        data = self.clip.read_bytes()
        with self.case('invariants 2 and 4: what it sends live while the '
                       'origin is killed is stored, exact'):
            told = self.publisher.end()
            expect(told[0]['bytes'] == len(data), f'{told}')
            self.stage.expect_same(self.live, self.clip)
        with self.case('invariants 12 and 13: two that watch are moved by a '
                       'kill of their cache, and each has one range, exact, '
                       'to the end'):
            for watcher, file, killed in zip(self.watchers, self.files,
                                             self.killed):
                *told, ended = watcher.end()
                begun = [(t['node'], t['from']) for t in told if 'node' in t]
                there = [node for node, _ in begun]
                expect(there[0] == killed != there[-1], f'{told}')
                first, got = begun[0][1], file.read_bytes()
                expect(got == data[first:], f'{len(got)} bytes from {first} '
                       f'of {len(data)}: {told}')
                expect(ended == {'bytes': len(got), 'ended': True}, f'{ended}')
            expect(not first or first < len(data) // 2, f'{first}')

    def take_held(self):
        with self.case('invariants 12 and 19: who took nothing for long '
                       'blames no node, and has the whole, exact'):
            for pipe, run in self.held:
                os.set_blocking(pipe, True)
                with open(pipe, 'rb') as file:
                    got = file.read()
                run.end()
                expect(got == self.clip.read_bytes(), f'{len(got)} bytes')

    def listen(self):
        """Begin to hear what all nodes tell; how it goes on."""
        samples = self.begin('tap', self.at('director'), 'sample', 30)
        requests = self.begin('tap', self.at('origin'), 'request', 5)

        def judge():
            with self.case('it hears what happens at every node of the tree '
                           'and at every worker, and misses nothing'):
                for tap, count, kind in ((samples, 30, 'sample'),
                                         (requests, 5, 'request')):
                    *told, last = tap.end()
                    expect(len(told) == count and last == {'lost': 0}
                           and all(t['kind'] == kind for t in told), f'{told}')
                    #   All that were named, by who was.
                    expect(kind == 'request' or {t['node'] for t in told}
                           == set(self.stage.names), f'{told}')
        return judge


def clip(stage):
    done = stage.run(*CLIP.split())
    expect(done.code == 0, done.err)
    path = stage.home / 'clip.ts'
    path.write_bytes(done.out)
    return path


def each(clients, do):
    """All of them beside each other; two at a time are enough for two cores."""
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(do, clients))


def say_more(pipe, said):
    """Write the next few bytes, if there is room; returns how many are said."""
    if select.select([], [pipe], [], 0)[1]:
        said += os.write(pipe, CONTENT[said:said + 100])
    return said


class Example:
    """What a language's README begins with: one run of its example publishes a
    few bytes now and then, another watches them."""

    def __init__(self, client):
        self.client, self.stage, self.said = client, client.stage, 0
        self.name = f'example-{client.language}'
        self.got, self.errors = client.home / 'got', client.home / 'errors'
        self.runs = []
        self.pipe = self.begin('publish', 'origin', subprocess.PIPE).stdin

    def begin(self, verb, node, stdin=subprocess.DEVNULL):
        program = ROOT / 'build/clients' / self.client.language / 'example'
        with open(self.got, 'wb') as out, open(self.errors, 'ab') as errors:
            process = subprocess.Popen(
                [*WITH_US, program, verb, self.stage.at[node], self.name],
                stdin=stdin, stdout=out, stderr=errors)
        self.stage.others.append(process)
        self.runs.append(process)
        return process

    def expect(self, true_thing, says):
        expect(true_thing, f'{says}: {self.errors.read_text()}')

    def say(self):
        self.expect(all(run.poll() is None for run in self.runs), 'it ended')
        self.said = say_more(self.pipe.fileno(), self.said)

    def is_stored(self):
        self.say()
        return stored(self.stage, self.name)

    def is_watched(self):
        self.say()
        return self.got.stat().st_size

    def watch(self):
        with self.client.case('its example publishes what it reads, and writes '
                              'a stream out as it grows'):
            wait_for(self.is_stored, f'{self.name} is stored')
            self.begin('watch', 'director')
            wait_for(self.is_watched, f'{self.name} is written out')
        self.pipe.close()

    def end(self):
        with self.client.case('the example that watches has the stream, exact, '
                              'to its end'):
            for run in self.runs:
                self.expect(run.wait(SECONDS) == 0, 'it failed')
            said, got = CONTENT[:self.said], self.got.read_bytes()
            expect(self.stage.get(self.name).out == said, 'other bytes stored')
            expect(got and said.endswith(got),
                   f'{len(got)} bytes of {len(said)}, or others')


class Rare:
    """A source whose owner has said nothing for long."""

    def __init__(self, client, node):
        self.name, self.node, self.said = client.language, node, 0
        self.pipe, self.publisher = client.open(node.at, self.name)

    def say(self):
        expect(self.publisher.process.poll() is None,
               f'{self.name} ended: {self.publisher.told().decode()}')
        self.said = say_more(self.pipe, self.said)

    def end(self):
        os.close(self.pipe)
        told = self.publisher.end()
        expect(told[0]['bytes'] == self.said, f'{self.name}: {told}')
        expect(self.node.streams[self.name] == CONTENT[:self.said],
               f'{self.name}: other bytes')


def hush(node, sources):
    """The node says nothing until all that had come have come again."""
    wait_for(lambda: len(node.streams) == len(sources) and
             time.monotonic() > node.since + PATIENCE, 'all are old')
    node.hushed = True

    def came():
        for source in sources:
            source.say()
        return len(node.again) == len(sources)
    wait_for(came, 'every source opens again')
    node.hushed = False
    for source in sources:
        source.end()


def live(stage, clients):
    """Every language at once: its cache and the origin die in the middle."""
    part = len(clients[0].left) // 3
    wait_for(lambda: all(stored(stage, c.live) > 0 for c in clients),
             'every stream is there')
    for client in clients:
        client.watch()
    wait_for(lambda: all([c.has_begun() for c in clients]),
             'every watcher has begun')
    wait_for(lambda: all([c.has_bytes(2 * part) for c in clients]),
             'every watcher has something')
    each(clients, lambda c: c.feed(2 * part))
    stage.kill('t1')
    each(clients, lambda c: c.feed(part))
    stage.kill('origin')
    stage.start('origin')
    each(clients, Client.feed)
    for client in clients:
        os.close(client.pipe)
    each(clients, Client.end_live)


def play(languages):
    message = messages()
    with Stage(workers=4, patience=STEADY, groups=GROUPS, caches=CACHES,
               director=DIRECTOR) as stage, Quiet(message) as node:
        path = clip(stage)
        clients = [Client(stage, name, path) for name in languages]
        busy = stage.begin('push', 'busy', '-')
        busy.stdin.write(b'x' * 1000)
        busy.stdin.flush()
        wait_for(lambda: stored(stage, 'busy'), 'somebody else has a stream')
        part = path.stat().st_size // 4
        nobody = f'127.0.0.1:{stage.other_port()}'

        stage.put(path, 'film')
        for client in clients:      # Here: no process outlives its thread.
            client.go_live()
            client.hold()
        sources = [Rare(c, node) for c in clients if not SLOW]

        with stage.case('invariant 19: rill has the words that every client '
                        'says'):
            told = stage.rill('help', 'errors').expect(0).text.splitlines()
            expect([line.split()[0] for line in told[1:]]
                   == [word for word, _ in statuses(message)], f'{told}')

        def alone(client):
            example = Example(client)
            client.feed(3 * part)
            heard = client.listen()
            client.golden()
            example.watch()
            client.crooked(message)
            client.recorded()
            client.real_refusals(nobody)
            example.end()
            heard()
        each(clients, alone)
        with stage.case('invariants 2 and 4: when its node is silent neither a '
                        "source's age nor its owner's silence counts: it opens "
                        'again and goes on where it was'):
            hush(node, sources)
        live(stage, clients)
        each(clients, Client.take_held)


def main(languages):
    listed = subprocess.run([ROOT / 'scripts/clients', 'list'], check=True,
                            stdout=subprocess.PIPE, text=True).stdout.split()
    #   Of a slow build one language is enough: it is the nodes that are tried.
    languages = languages or (['python'] if SLOW else listed)
    built = subprocess.run([ROOT / 'scripts/clients', 'build', *languages],
                           stdin=subprocess.DEVNULL)
    with case('the clients are built'):
        expect(built.returncode == 0, f'exit {built.returncode}')
    if built.returncode == 0:
        play(languages)
    end()


main(sys.argv[1:])
