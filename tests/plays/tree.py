"""The live tree: one stream at every node of it, one copy into each group,
whoever is killed. Two siblings hang on the origin, a cache on both of them.
"""
import contextlib
import datetime
import os
import random
import signal
import threading

import zmq

from stage import PATIENCE, Stage, end, expect, messages, stored, wait_for

LAN = f'239.192.{random.randrange(256)}.{random.randrange(1, 255)}'
GROUPS = {'region': f'parents: [origin], window: 1h, '
                    f'multicast: {LAN}:{random.randrange(10000, 32000)}',
          'town': 'parents: [r1, r2], siblings: unicast, '
                  'window_bytes: 16MiB, window_disk: 128MiB'}
CACHES = {'r1': 'region', 'r2': 'region', 't1': 'town'}
PIECE = 16 * 1024
SURE = max(4, PATIENCE)      # A busy machine makes nobody look dead.
Message = messages()


class Source:
    """A live stream: known bytes that flow while it is told to."""

    def __init__(self, stage, name, seed):
        self.stage, self.name, self.bytes = stage, name, bytearray()
        self.chance, self.flows = random.Random(seed), threading.Event()
        self.process = stage.begin('push', name, '-')
        self.write()
        wait_for(lambda: stored(stage, name), f'{name} is there')

    def write(self, pieces=1):
        for _ in range(pieces):
            piece = self.chance.randbytes(PIECE)
            self.process.stdin.write(piece)
            self.process.stdin.flush()
            self.bytes += piece

    @contextlib.contextmanager
    def flowing(self, pace=0.02):
        """It grows by itself meanwhile."""
        stop = threading.Event()

        def flow():
            while not stop.wait(pace):
                self.write()
        thread = threading.Thread(target=flow)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()

    def end(self):
        self.process.stdin.close()
        expect(self.process.wait() == 0, self.process.stderr.read().decode())


class Watcher:
    """One `rill watch`; what it printed so far."""

    def __init__(self, stage, source, *ats, begin='start', more=()):
        self.bytes, self.name = bytearray(), f'a watcher at {ats[0]}'
        self.process = stage.begin('watch', source.name, '--from', begin,
                                   *more, at=','.join(stage.at[a] for a in ats))
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        while piece := self.process.stdout.read1(1 << 20):
            self.bytes += piece

    def wait(self, count):
        wait_for(lambda: len(self.bytes) >= count,
                 f'{self.name} has {count} bytes')

    def end(self):
        self.thread.join()
        code, said = self.process.wait(), self.process.stderr.read().decode()
        expect(code == 0, f'{self.name}: exit {code}: {said}')
        return bytes(self.bytes)

    def stop(self):
        self.process.terminate()
        return self.end()


def taken(stage, *nodes):
    """Chunks that nodes took from their parents."""
    return sum(stage.counters(n)['chunks_taken_total_parent']
               + stage.counters(n)['chunks_taken_total_up'] for n in nodes)


def chunks(stage, source):
    """Chunks of data that have bytes, once all is stored."""
    wait_for(lambda: stored(stage, source.name) == len(source.bytes),
             f'all of {source.name} is stored')
    return sum(c['length'] > 0 and not c['parity']
               for c in stage.stat(source.name, '--chunks')['chunks'])


def utc(us):
    """A time as people write it."""
    begin = datetime.datetime(1970, 1, 1)
    return (begin + datetime.timedelta(microseconds=us)).isoformat()


def carrier(stage, source):
    """Who of the region takes the stream from the origin, and who does not."""
    before = {n: taken(stage, n) for n in ('r1', 'r2')}

    def grown():
        now = {n: taken(stage, n) - before[n] for n in before}
        return max(now, key=now.get) if max(now.values()) > 4 else None
    with source.flowing():
        one = wait_for(grown, 'somebody carries the stream')
    return one, 'r2' if one == 'r1' else 'r1'


def tree(stage, *args, at='director'):
    return stage.rill('tree', *args, '--at', stage.at[at])


def is_drawn(stage):
    """Whether the tree is told as this play made it."""
    told = tree(stage, '--json').expect(0).json()
    nodes = {n['node']: n for n in told['nodes']}
    cams = {name: n['streams'][0] for name, n in nodes.items()
            if n.get('streams')}
    if list(nodes) != ['origin', 'r1', 'r2', 't1'] or set(cams) != set(nodes) \
            or not all(n['offered'] and n.get('in_bps') for n in nodes.values()):
        return False
    carriers = [n for n in ('r1', 'r2') if cams[n]['carries']]
    return (len(carriers) == 1 and cams['t1']['carries']
            and cams[carriers[0]]['source'] == 'origin'
            and {cams['r1']['source'], cams['r2']['source']}
            == {'origin', carriers[0]}
            and cams['t1']['source'] in ('r1', 'r2')
            and cams[carriers[0]]['followers'] == 1
            and all(c['name'] == 'cam' and c['viewers'] == 1
                    and c['out_bps'] > 0 and c['window_ms'] > 0
                    and c.get('lag_ms', 0) < 60_000 for c in cams.values())
            and all(c['window_bytes'] and c['bytes_given']
                    for c in cams.values())
            and cams['t1']['bytes_from_siblings'] == 0
            and nodes['t1']['tier'] == 2
            and nodes['t1']['parents'] == ['r1', 'r2'])


class Endless:
    """A director and an origin in one that always has more to tell."""

    def __init__(self):
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        port = self.socket.bind_to_random_port('tcp://127.0.0.1')
        self.at, self.ends = f'127.0.0.1:{port}', threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.ends.is_set():
            if not self.socket.poll(50):
                continue
            peer, _, head = self.socket.recv_multipart()
            asked = Message.FromString(head)
            begin = getattr(asked.status_ask, 'from')
            node = {'name': f'n{begin}', 'at': '' if begin else self.at}
            told = Message(version=1, request=asked.request, report={
                'node': 'all', 'nodes': [node], 'next': begin + 1})
            self.socket.send_multipart([peer, b'', told.SerializeToString()])

    def close(self):
        self.ends.set()
        self.thread.join()
        self.socket.close()


def ask_all(at, name):
    """A whole client: describe once, then ask for one chunk after the other."""
    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, 60_000)
    socket.connect(f'tcp://{at}')

    def ask(**body):
        socket.send(Message(version=1, request=1, **body).SerializeToString())
        head, *payload = socket.recv_multipart()
        return Message.FromString(head), b''.join(payload)
    try:
        stream = ask(describe={'name': name})[0].described
        got, offset = b'', stream.first
        while True:
            answer, payload = ask(ask={'stream': stream.stream, 'wait': True,
                                       'offset': offset, 'budget_ms': 20_000})
            if answer.WhichOneof('body') == 'refused':
                return got, answer.refused
            chunk = answer.answer.chunk
            got += payload[offset - chunk.offset:]
            offset = chunk.offset + chunk.length
    finally:
        socket.close()


with Stage(workers=3, groups=GROUPS, caches=CACHES, patience=SURE,
           director='rules: light') as stage:
    cam = Source(stage, 'cam', 1)
    with stage.case('invariants 12 and 14: one live stream at the root and at '
                    'every cache below it is the same, byte for byte, and one '
                    'copy of it enters a group of siblings'):
        viewers = [Watcher(stage, cam, n) for n in ('origin', 'r1', 'r2', 't1')]
        for viewer in viewers:
            viewer.wait(len(cam.bytes))
        with cam.flowing():
            for viewer in viewers:
                viewer.wait(40 * PIECE)
        for viewer in viewers:
            viewer.wait(len(cam.bytes))
        before, had = taken(stage, 'r1', 'r2'), chunks(stage, cam)
        with cam.flowing():
            for viewer in viewers:
                viewer.wait(len(cam.bytes) + 60 * PIECE)
        for viewer in viewers:
            viewer.wait(len(cam.bytes))
        new = chunks(stage, cam) - had
        copies = (taken(stage, 'r1', 'r2') - before) / new
        print(f'# copies into the region: {copies:.2f} of {new} chunks')
        expect(copies == 1, f'{copies} copies entered the region')
        for viewer in viewers:
            expect(viewer.bytes == cam.bytes, f'other bytes at {viewer.name}')
    with stage.case('rill tree tells of every node what it carries, from whom, '
                    'for how many, and how much comes and goes'):
        with cam.flowing():
            wait_for(lambda: is_drawn(stage), 'all is told')
        text = tree(stage).expect(0).text
        expect('from origin, carries' in text and 'below r1, r2' in text
               and 'SILENT' not in text, text)
        expect(max(map(len, text.splitlines())) <= 100, text)
        tree(stage, at='t1').expect_error(65, 'director')
    with stage.case('rill tree says where it does not tell all there is'):
        told = tree(stage, '--json').expect(0).json()
        expect(not told['cut'] and not any(n['cut'] for n in told['nodes']),
               f'{told}')
        endless = Endless()
        try:
            told = stage.rill('tree', '--json', '--at', endless.at).expect(0)
            text = stage.rill('tree', '--at', endless.at).expect(0).text
        finally:
            endless.close()
        expect(told.json()['cut'] and told.json()['nodes'][0]['cut'], told.text)
        expect('n0 has more streams' in text and
               'all knows more nodes' in text, text)
    with stage.case('invariant 12: who rewinds gets any moment, and goes on '
                    'live without a seam'):
        middle = len(cam.bytes) // 2 + 77
        with cam.flowing():
            late = Watcher(stage, cam, 't1', begin=middle,
                           more=['--to', len(cam.bytes) + 20 * PIECE])
            back = late.end()
        expect(back == cam.bytes[middle:middle + len(back)] and
               len(back) > 20 * PIECE, f'{len(back)} bytes, or others')
        last = Watcher(stage, cam, 't1', begin='-1h', more=['--for', '2s'])
        expect(last.end().startswith(cam.bytes[:PIECE]), 'not its beginning')
    with stage.case('invariant 12: who asks for a time gets the last chunk '
                    'made until then first, at any depth'):
        chunks(stage, cam)
        made = [c for c in stage.stat('cam', '--chunks')['chunks']
                if c['length'] and not c['parity']]
        third = len(made) // 3
        times = [made[third]['created_us'] + 1, made[-third]['created_us']]
        first, last = (max((c for c in made if c['created_us'] <= t),
                           key=lambda c: c['offset']) for t in times)
        right = cam.bytes[first['offset']:last['offset'] + last['length']]
        begin, to = (utc(t) for t in times)
        for node in ('origin', 'r1', 't1'):
            seen = Watcher(stage, cam, node, begin=begin, more=['--to', to])
            expect(seen.end() == right, f'other bytes at {node}')
    with stage.case('invariants 12 and 14: when the sibling that carries the '
                    'stream is killed nobody loses a byte, and the other '
                    'carries it'):
        one, other = carrier(stage, cam)
        mover = Watcher(stage, cam, one, other)
        mover.wait(len(cam.bytes))
        with cam.flowing():
            stage.kill(one)
            for viewer in (*viewers, mover):
                if viewer.name != f'a watcher at {one}':
                    viewer.wait(len(cam.bytes) + 40 * PIECE)
        expect(taken(stage, other) > 0, f'{other} does not carry it')
        stage.start(one)
        again = Watcher(stage, cam, one)
        with cam.flowing():
            again.wait(len(cam.bytes) + 20 * PIECE)
        expect(mover.stop() == cam.bytes[:len(mover.bytes)], 'other bytes')
        expect(again.stop() == cam.bytes[:len(again.bytes)], 'other bytes')
    with stage.case('invariant 12: when the sibling that carries the stream '
                    'hangs the others go on, and it has all when it is back'):
        one, _ = carrier(stage, cam)
        here = f'a watcher at {one}'
        with cam.flowing():
            stage.signal(one, signal.SIGSTOP)
            others = [v for v in viewers
                      if v.process.poll() is None and v.name != here]
            for viewer in others:
                viewer.wait(len(cam.bytes) + 40 * PIECE)
            drawn = tree(stage)
            stage.signal(one, signal.SIGCONT)
            expect(f'SILENT {stage.at[one]}' in drawn.expect(0).text and
                   f'{one} does not answer' in drawn.text, drawn.text)
            again = Watcher(stage, cam, one)
            again.wait(len(cam.bytes) + 20 * PIECE)
        expect(again.stop() == cam.bytes[:len(again.bytes)], 'other bytes')
    with stage.case('invariants 12 and 19: when the origin is killed and comes '
                    'back all go on, and hear it again'):
        with cam.flowing():
            stage.kill('origin')
            stage.start('origin')
            for viewer in viewers[1:]:
                if viewer.process.poll() is None:
                    viewer.wait(len(cam.bytes) + 40 * PIECE)
        published = stage.counters('origin')['chunks_published_total']
        with cam.flowing():
            wait_for(lambda: stage.counters('origin')['chunks_published_total'] >
                     published + 10, 'it publishes again')
            asked = stage.counters('origin')['reads_total_memory']
            wait_for(lambda: stage.counters('origin')['chunks_published_total'] >
                     published + 40, 'it goes on')
        expect(stage.counters('origin')['reads_total_memory'] <= asked + 2,
               'chunks are asked for that were published')
    with stage.case('a loop of REQ is a whole client: it describes and asks, '
                    'and waits for what is still to come'):
        asked = []
        thread = threading.Thread(target=lambda: asked.append(
            ask_all(stage.at['t1'], 'cam')))
        thread.start()
        with cam.flowing():
            for viewer in viewers:
                if viewer.process.poll() is None:
                    viewer.wait(len(cam.bytes) + 20 * PIECE)
        cam.end()
        thread.join()
        got, refused = asked[0]
        expect(got == cam.bytes, f'{len(got)} bytes of {len(cam.bytes)}, then '
               f'{refused}')
    with stage.case('invariant 12: at the end of the stream everybody has all '
                    'of it'):
        for viewer in viewers:
            expect(viewer.end() == cam.bytes, f'{viewer.name}: '
                   f'{len(viewer.bytes)} bytes of {len(cam.bytes)}, or others')
    with stage.case('L4, invariant 14: a sealed stream can be got at any '
                    'cache, and comes into a group once'):
        for node in ('r1', 't1'):
            expect(stage.rill('get', 'cam', '-o', '-', at=stage.at[node])
                   .expect(0).out == cam.bytes, f'other bytes from {node}')
        film = stage.file('film', 3_000_000)
        stage.put(film)
        before = stage.counters('r2')
        for node in ('r1', 'r2', 't1'):
            expect(stage.rill('get', 'film', '-o', '-', at=stage.at[node])
                   .expect(0).out == film.read_bytes(), f'not so at {node}')
        now = stage.counters('r2')
        expect(now['chunks_taken_total_parent']
               == before['chunks_taken_total_parent'] and
               now['chunks_taken_total_sibling']
               > before['chunks_taken_total_sibling'] + 10,
               f'what its sibling has r2 takes from above: {before}, {now}')
        expect(now['packets_received_total'] > before['packets_received_total'],
               'nobody was asked over multicast')
        stage.rill('get', 'nobody', at=stage.at['t1']).expect_error(1, 'nobody')
        stage.rill('watch', 'nobody', at=stage.at['t1']).expect_error(
            1, 'nobody')
        stage.rill('watch', 'cam', '--from', 10 ** 9, at=stage.at['t1']) \
            .expect_error(65, str(len(cam.bytes)))
    with stage.case('invariants 9 and 13: what memory has no room for a cache '
                    'gives back from its disk, or, where that is damaged or '
                    'gone, from above'):
        big = stage.file('big', 40_000_000)
        stage.put(big)

        def seen():
            before = stage.counters('t1')
            out = stage.rill('watch', 'big', '--from', 'start', at=stage.at[
                't1']).expect(0).out
            expect(out == big.read_bytes(), f'{len(out)} bytes, or others')
            now = stage.counters('t1')
            now.subtract(before)
            return now
        first, second = seen(), seen()
        chunk_bytes = len(big.read_bytes()) / first['chunks_taken_total_parent']
        #   What a slow disk had no room for is kept the next time.
        for _ in range(8):
            if not first['window_disk_failed_total_refused']:
                break
            first, second = second, seen()
        expect(second['chunks_taken_total_disk'] * chunk_bytes > 20_000_000,
               f'{second["chunks_taken_total_disk"]} chunks came from the disk')
        expect(second['taken_bytes_total'] < 5_000_000 + second[
            'window_disk_failed_total_refused'] * chunk_bytes, 'it was taken from above')
        for segment in stage.place('t1').glob('window/**/*'):
            if segment.is_file() and segment.stat().st_size > 1_000_000:
                with open(segment, 'r+b') as file:
                    for at in range(0, segment.stat().st_size, 100_000):
                        file.seek(at)
                        file.write(b'rot')
                    os.fsync(file.fileno())
        expect(seen()['window_disk_failed_total_lost'] > 20, 'no damage was found')
        stage.kill('t1')
        stage.start('t1')
        expect(not stage.counters('t1')['window_chunks_disk'], 'it begins with some')
        seen()
    with stage.case('invariant 16: what nobody watches goes nowhere'):
        idle = Source(stage, 'idle', 2)
        viewer = Watcher(stage, idle, 't1')
        with idle.flowing():
            viewer.wait(20 * PIECE)
        expect(stage.counters('origin')['grants'], 'it has none to lose')
        viewer.stop()
        wait_for(lambda: not stage.counters('origin')['grants'] and
                 not stage.counters('r1')['grants'] and
                 not stage.counters('r2')['grants'], 'no grant is left', 120)
        before = [stage.counters(n)['chunks_published_total']
                  for n in ('origin', 'r1', 'r2')], taken(stage, 'r1', 'r2')
        idle.write(50)
        wait_for(lambda: stored(stage, 'idle') == len(idle.bytes), 'stored')
        expect(before == ([stage.counters(n)['chunks_published_total']
                           for n in ('origin', 'r1', 'r2')],
                          taken(stage, 'r1', 'r2')), 'it was sent on')
        idle.end()
end()
