"""What a three-tier cluster tells of itself: its state at once, each kind of
event when it happens, one request through all nodes, and losses said."""
import signal
import socket
import time

import zmq

from hostile import Message, Peer, say
from stage import PATIENCE, Stage, end, expect, stored, wait_for

from rill.v1 import event_pb2    # Made with hostile's Message.
from rill.v1 import status_pb2

TIERS = {'region': 'parents: [origin], siblings: unicast',
         'town': 'parents: [r1], siblings: unicast'}
CACHES = {'r1': 'region', 't1': 'town', 't2': 'town'}
PIECE = 64 * 1024
NOBODY = 'n' * 128
SURE = max(4, PATIENCE)      # A busy machine makes nobody look dead.


class Tap:
    """Hears nodes; `events` and `samples` are what came so far."""

    def __init__(self, stage, *topics, names=None, **options):
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.linger, self.events, self.samples = 0, [], {}
        for name, value in options.items():
            self.socket.setsockopt(getattr(zmq, name), value)
        for name in names or stage.names:
            peer = Peer(stage.at[name])
            self.socket.connect(peer.ask(status_ask={}).report.tap_at)
            peer.close()
        for topic in topics:
            self.socket.setsockopt(zmq.SUBSCRIBE, topic.encode())

    def take(self):
        """Read what has come."""
        while self.socket.poll(0):
            topic, body = self.socket.recv_multipart()
            words = topic.decode().split('.')
            if words[0] == 'st':
                sample = event_pb2.Sample.FromString(body)
                expect(words[2:] == [sample.role, sample.node], topic)
                self.samples[sample.node] = sample
                continue
            event = event_pb2.Event.FromString(body)
            kind = event.WhichOneof('what')
            if words[0] == 'ev':
                expect(words[2:] == [event.role, event.node, kind], topic)
            expect(abs(event.at_us - time.time() * 1e6) < 600e6, event)
            self.events.append(event)

    def find(self, kind, node=None, **fields):
        """Events of a kind, at a node, whose fields are so."""
        self.take()
        return [e for e in self.events if e.WhichOneof('what') == kind
                and node in (None, e.node)
                and all(getattr(e if name in ('trace', 'name') else
                                getattr(e, kind), name) == value
                        for name, value in fields.items())]

    def wait(self, kind, node=None, count=1, **fields):
        return wait_for(
            lambda: len(found := self.find(kind, node, **fields)) >= count
            and found, f'{count} {kind} of {node} with {fields}')

    def close(self):
        self.socket.close()


def listens(stage, tap):
    """Once every node has heard that somebody listens: states come."""
    wait_for(lambda: tap.take() or set(tap.samples) == set(stage.names),
             'the state of every node')


def follow(tap, ask):
    """The nodes that a request went through, and what each told of it."""
    path = [ask]
    while source := path[-1].request.source:
        path += tap.wait('request', source, trace=ask.trace)[-1:]
    return path


with Stage(workers=4, patience=SURE, groups=TIERS, caches=CACHES,
           director='rules: light') as stage:
    tap = Tap(stage, 'ev.', 'st.')
    clip = stage.file('clip', 3_000_000)
    with stage.case('who begins to listen hears the state of every node at '
                    'once, with its counters'):
        listens(stage, tap)
        expect(all(s.uptime_ms > 0 and s.version
                   for s in tap.samples.values()), tap.samples)
        wait_for(lambda: tap.take() or all(
            s.ready for s in tap.samples.values()), 'all are ready')
        expect({s.role for s in tap.samples.values()} == {
            'forwarder', 'worker', 'cache', 'director'}, tap.samples)
        expect(tap.samples['origin'].counters, 'no counters')
    with stage.case('a put is told from its source to the disks'):
        stage.put(clip)
        opened, = tap.wait('source_opened', 'origin', name='clip')
        expect(opened.trace and not opened.source_opened.offset, opened)
        tap.wait('source_ended', 'origin', offset=3_000_000, sealed=True)
        told = tap.wait('bytes_acknowledged', 'origin', settled=3_000_000)
        expect(told[-1].bytes_acknowledged.stored == 3_000_000, told)
        dealt = tap.find('chunk_dealt', 'origin')
        tap.wait('chunk_stored', count=len(dealt))
        expect({(e.chunk_dealt.worker, e.chunk_dealt.block, e.chunk_dealt.slot)
                for e in dealt} == {
            (e.node, e.chunk_stored.block, e.chunk_stored.slot)
            for e in tap.find('chunk_stored')}, 'others were stored')
        expect(sum(e.chunk_dealt.bytes for e in dealt
                   if not e.chunk_dealt.parity) == 3_000_000, dealt)
    with stage.case('one trace goes through terminal, cache, parent, origin '
                    'and worker; each says from whom it took it and how long '
                    'that took'):
        stage.rill('get', 'clip', '-o', '/dev/null', at=stage.at['t1'])
        ask = next(e for e in tap.wait('request', 't1', asked='ask', asker='')
                   if e.request.bytes)
        path = wait_for(lambda: len(p := follow(tap, ask)) == 4 and p,
                        'four nodes told of it')
        expect([e.node for e in path[:3]] == ['t1', 'r1', 'origin']
               and path[3].role == 'worker', path)
        expect([e.request.asker for e in path[1:3]] == ['t1', 'r1'], path)
        for near, far in zip(path, path[1:]):
            expect(near.trace == far.trace and near.stream == far.stream,
                   path)
            expect(near.request.ms >= near.request.source_ms
                   >= far.request.ms > 0, path)
        tap.wait('sibling_asked', 't1', trace=ask.trace)
        tap.wait('sibling_answered', 't1', sibling='t2', has=False)
    with stage.case('what a sibling has is taken from there, and told so'):
        stage.rill('get', 'clip', '-o', '/dev/null', at=stage.at['t2'])
        told = tap.wait('request', 't2', asked='ask', source='t1')
        expect(tap.wait('request', 't1', asker='t2', trace=told[0].trace),
               'the sibling does not know it')
    with stage.case('a live stream tells its carriers, chunks and sessions'):
        push = stage.begin('push', 'cam', '-')

        def write():
            push.stdin.write(bytes(PIECE))
            push.stdin.flush()
            return True
        wait_for(lambda: write() and stored(stage, 'cam'), 'cam is there')
        watch = stage.begin('watch', 'cam', at=stage.at['t1'])
        tap.wait('session_opened', 't1', name='cam')
        tap.wait('carrier_claimed', 't1', parent='r1')
        tap.wait('carrier_claimed', 'r1', parent='origin')
        wait_for(lambda: write() and tap.find('chunk_published', 'r1'),
                 'r1 publishes')
        published = tap.find('chunk_published', 'origin')[-1]
        expect(published.chunk_published.receivers == 1, published)
        terminal = Peer(stage.at['t1'])
        terminal.ask(watch={'name': 'cam', 'start': True, 'credit': 1})
        tap.wait('session_stalled', 't1')
        terminal.tell(say(terminal.request, stop={}))
        tap.wait('session_ended', 't1', count=1)
        terminal.close()
    with stage.case('who takes a stream over says from whom'):
        second = stage.begin('watch', 'cam', at=stage.at['t2'])
        tap.wait('session_opened', 't2', name='cam')
        wait_for(lambda: write() and tap.find('chunk_published', 't1'),
                 't2 follows t1')
        stage.kill('t1')
        took, = wait_for(lambda: write() and tap.find('carrier_took_over'),
                         'somebody takes over')
        expect(took.node == 't2' and took.carrier_took_over.parent == 'r1'
               and getattr(took.carrier_took_over, 'from') == 't1', took)
        stage.start('t1')
    with stage.case('a worker that is lost is told, and what is dealt again'):
        stage.signal('w2', signal.SIGSTOP)
        since = time.time() * 1e6
        wait_for(lambda: write() and any(
            e.at_us > since for e in tap.find('chunk_dealt', worker='w2')),
            'w2 gets some')
        stage.kill('w2')
        lost = tap.wait('worker_lost', 'origin', worker='w2')
        expect(lost[-1].worker_lost.why, lost)
        tap.wait('block_redealt', 'origin', worker='w2')
        stage.start('w2')
        tap.wait('worker_registered', 'origin', worker='w2')
    for process in (watch, second):
        process.kill()
    push.stdin.close()
    with stage.case('what is unreadable or refused is told as a fault'):
        peer = Peer(stage.at['r1'])
        peer.tell(b'\xff\xff')
        tap.wait('fault_counted', 'r1', where='front',
                 status=status_pb2.STATUS_MALFORMED)
        peer.close()
        host, port = stage.at['r1'].split(':')
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b'no packet of the group', (host, int(port)))
        tap.wait('fault_counted', 'r1', where='bus',
                 status=status_pb2.STATUS_MALFORMED)
    with stage.case('`last.` tells what was rare before anybody listened'):
        late = Tap(stage, 'last.', names=['origin'])
        late.wait('worker_lost', 'origin', worker='w2')
        late.wait('worker_registered', 'origin', worker='w2')
        kinds = [e.WhichOneof('what') for e in late.events]
        expect(kinds.index('worker_lost') < len(kinds) - 1
               - kinds[::-1].index('worker_registered'), kinds)
        expect('source_opened' in kinds and 'request' not in kinds, kinds)
        late.close()
    with stage.case('who does not read loses events, sees how many, and slows '
                    'nobody'):
        slow = Tap(stage, 'ev.v1.forwarder.origin.request', names=['origin'],
                   RCVHWM=1, RCVBUF=16384)
        peer = Peer(stage.at['origin'])
        wait_for(lambda: peer.ask(describe={'name': 'clip'})
                 and slow.socket.poll(0), 'it hears one')

        def lost(count):
            """Of the events of so many questions while it does not read."""
            first = peer.request + 1
            peer.request += count
            for request in range(first, first + count):
                peer.tell(say(request, describe={'name': NOBODY}))
                if request % 50 == 0:
                    while peer.hear().request < request:
                        pass
                    tap.take()
            peer.ask(describe={'name': NOBODY})
            last = tap.wait('request', 'origin')[-1].seq

            def reads_again():
                slow.take()
                peer.ask(describe={'name': 'clip'})
                return slow.find('request', name='clip')[-1:] \
                    and slow.events[-1].seq > last
            wait_for(reads_again, 'it reads again')
            seqs = [e.seq for e in slow.events]
            expect(seqs == sorted(seqs), seqs)
            return seqs[-1] - seqs[0] + 1 - len(seqs)
        expect(any(lost(count) for count in (4000, 8000, 16000)),
               'nothing was lost')
        seqs = [e.seq for e in tap.find('request', 'origin')]
        expect(seqs == list(range(1, len(seqs) + 1)), 'who reads loses, too')
        stage.expect_same('clip', clip)
        slow.close()
        peer.close()
    tap.close()
end()
