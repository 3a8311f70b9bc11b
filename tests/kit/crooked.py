"""A node that says what no good node says, to see what a client makes of it.

One front, in a thread of its own. What it answers hangs on the stream's name:

    Describe  status-N-R, and the FAULTS: what is wrong on the wire
    Open      `tight`: little credit, a session that ends, a node that is silent
    StatusAsk a tap at an address that is none
    Ask       `flaky`: refusals, wrong bytes, late answers, uneven chunks, a hole
    Watch     `broken`: sessions that end in every bad way
              `endless`: as many bytes as there is credit for

It writes down what a client may not do in `wrong`, and what it did in `seen`.
"""
import collections
import random
import threading
import time

import crcmod.predefined
import zmq

crc32c = crcmod.predefined.mkPredefinedCrcFun('crc-32c')
STREAM, HEAD_MOST, WINDOW = 77, 64 * 1024, 4 << 20
RANGE = 25
HOLE = (300_000, 450_000)           # Of `flaky` and `broken`.
CONTENT = random.Random(5).randbytes(1_000_000)
BODY_OF_TOMORROW = b'\xa2\x3f\x00'  # Field 1012, empty.


def what_is_there():
    """The content without its hole."""
    return CONTENT[:HOLE[0]] + CONTENT[HOLE[1]:]


class Crooked:
    """Made with the class of messages; close() ends it."""

    def __init__(self, message):
        self.message, self.wrong, self.seen = message, [], set()
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        port = self.socket.bind_to_random_port('tcp://127.0.0.1')
        self.at, self.ends = f'127.0.0.1:{port}', threading.Event()
        self.asks, self.session = collections.Counter(), None
        self.stopped = False            # Of `endless`.
        self.source = self.token = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()
        self.socket.close()

    def run(self):
        while not self.ends.is_set():
            if not self.socket.poll(50):
                continue
            self.peer, empty, head, *payload = self.socket.recv_multipart()
            asked = self.message.FromString(head)
            body = asked.WhichOneof('body')
            if empty or asked.version != 1 or not asked.trace \
                    or len(payload) != (body == 'piece'):
                self.wrong.append(f'frames or fields of {body}')
            self.seen.add(body)
            answer = getattr(self, f'on_{body}', None)
            if answer:
                answer(asked, getattr(asked, body), *payload)
            else:
                self.refuse(asked, 3, 0)

    def send(self, *frames):
        self.socket.send_multipart([self.peer, *frames])

    def pack(self, request, version=1, **body):
        return self.message(version=version, request=request,
                            **body).SerializeToString()

    def say(self, asked, *payload, **body):
        self.send(b'', self.pack(asked.request, **body), *payload)

    def refuse(self, asked, status, retry, offset=0):
        self.say(asked, refused=dict(status=status, retry=retry, text='so',
                                     offset=offset))

    #   Describe

    def on_describe(self, asked, describe):
        told = dict(stream=STREAM, name=describe.name, kind=1, sealed=True,
                    stored=len(CONTENT), size=len(CONTENT), chunk_bytes=65536)
        word, _, rest = describe.name.partition('-')
        good = self.pack(asked.request, described=told)
        if word == 'status':
            status, retry = map(int, rest.split('-'))
            self.refuse(asked, status, retry, 7)
        elif word == 'version':
            self.send(b'', self.pack(asked.request, 2, described=told))
        elif word == 'garbage':
            self.send(b'', b'\xff\xff\xff\xff')
        elif word == 'headless':
            self.send(b'')
        elif word == 'bare':
            self.send(good)
        elif word == 'longer':
            self.send(b'', good, b'payload')
        elif word == 'large':
            self.send(b'', self.pack(asked.request, described=dict(
                told, name='n' * HEAD_MOST)))
        elif word == 'tomorrow':
            self.send(b'', self.pack(asked.request) + BODY_OF_TOMORROW)
        else:
            #   Late answers to questions that nobody asks any more.
            self.send(b'', self.pack(asked.request + 2, described=told))
            self.send(b'', self.pack(asked.request ^ 1 << 40, refused=dict(
                status=20)))
            self.send(b'', good)

    #   StatusAsk

    def on_status_ask(self, asked, ask):
        self.say(asked, report=dict(role='forwarder', node='crooked',
                                    tap_at='tcp://nowhere'))

    #   Ask

    def chunk(self, offset, end, crc=0):
        """The header and payload of [offset, end)."""
        data = CONTENT[offset:end]
        return dict(stream=STREAM, name='x', kind=1, k=4, m=2, slot=1,
                    offset=offset, length=len(data),
                    payload_crc=crc32c(data) ^ crc), data

    def on_ask(self, asked, ask):
        if not ask.offset < len(CONTENT):
            return self.refuse(asked, RANGE, 0, len(CONTENT))
        if HOLE[0] <= ask.offset < HOLE[1]:
            return self.refuse(asked, RANGE, 0, HOLE[1])
        #   Chunks of uneven length that lie where they lie.
        bounds = [0, 10_000, 70_000, 75_536, 200_000, *HOLE, 500_000, 500_001,
                  len(CONTENT)]
        at = max(i for i, b in enumerate(bounds) if b <= ask.offset)
        header, data = self.chunk(bounds[at], bounds[at + 1])
        self.asks[at] += 1
        turn = self.asks[at] + at
        if self.asks[at] < 4 and turn % 6 < 3:
            return self.refuse(asked, *((60, 1), (63, 1), (26, 2))[turn % 6])
        if self.asks[at] < 4 and turn % 6 == 3:
            header['payload_crc'] ^= 1
        self.say(asked, data, answer=dict(chunk=header, route=1,
                                          watermark=len(CONTENT), sealed=True))

    #   Watch

    def on_watch(self, asked, watch):
        if watch.name == 'endless' or watch.stream == STREAM + 1:
            return self.on_endless(asked, watch)
        turn = self.session['turn'] + 1 if self.session else 0
        begin = watch.offset if turn else 100
        if turn and watch.offset != self.session['next']:
            self.wrong.append(f'a watch of turn {turn} begins at '
                              f'{watch.offset}, not {self.session["next"]}')
        self.session = dict(turn=turn, next=begin, request=asked.request,
                            name=watch.name)
        self.say(asked, watched={'stream': STREAM, 'from': begin})
        self.turns(asked, turn)

    def turns(self, asked, turn):
        if turn == 0:       # A chunk that began before; then a wrong byte.
            self.flow(asked, 0, 100_000)
            self.flow(asked, 100_000, 200_000, crc=1)
        elif turn == 1:     # A chunk is lost.
            self.flow(asked, 100_000, 150_000)
            self.flow(asked, 200_000, 250_000, lost=True)
        elif turn == 2:     # It cannot go on here.
            self.flow(asked, 150_000, 300_000)
            self.say(asked, over=dict(at=300_000, status=64))
        elif turn == 3:     # A hole; then the session is over.
            self.say(asked, skip={'from': HOLE[0], 'to': HOLE[1]})
            self.session['next'] = HOLE[1]
            self.flow(asked, HOLE[1], 500_000)
            self.refuse(asked, 40, 3)
        elif turn == 4:     # Another version, then silence.
            self.send(b'', self.pack(asked.request, 2, over=dict(at=500_000)))
        elif turn == 5:
            self.flow(asked, 500_000, 700_000)
        else:               # What came before is repeated.
            self.flow(asked, 600_000, 700_000)
            self.flow(asked, 650_000, len(CONTENT))
            self.say(asked, over=dict(at=len(CONTENT)))

    def flow(self, asked, offset, end, crc=0, lost=False):
        header, data = self.chunk(offset, end, crc)
        self.say(asked, data, flow={'chunk': header,
                                    'from': self.session['next']})
        if not crc and not lost:
            self.session['next'] = max(end, self.session['next'])

    def on_watch_keep(self, asked, keep):
        if self.session and asked.request == self.session.get('request') \
                and self.session['name'] == 'endless':
            return self.pour(asked, keep.credit)
        #   In turn 5 nobody answers.

    def on_stop(self, asked, stop):
        if self.session and self.session['name'] == 'endless':
            self.stopped = True

    def on_endless(self, asked, watch):
        self.session = dict(turn=0, next=0, name='endless', sent=0,
                            request=asked.request)
        self.say(asked, watched={'stream': STREAM + 1, 'from': 0})
        self.pour(asked, watch.credit)

    def pour(self, asked, credit):
        session = self.session
        if credit > session['sent'] + WINDOW:
            self.wrong.append(f'a credit of {credit} for {session["sent"]}')
        while session['sent'] < credit:
            header, data = self.chunk(0, len(CONTENT))
            header.update(stream=STREAM + 1, offset=session['next'])
            self.say(asked, data, flow={'chunk': header,
                                        'from': session['next']})
            session['next'] += len(data)
            session['sent'] += len(data)
        self.say(asked, watching=dict(at=session['next'],
                                      head=session['next']))

    #   Open

    def on_open(self, asked, words):
        source = self.source
        if source is None:
            self.token = words.token
            source = self.source = dict(opened=0, bytes=bytearray(), mute=False)
        if words.token != self.token:
            self.wrong.append('a source comes with another token')
        source['opened'] += 1
        source['session'] = 100 + source['opened']
        source['mute'] = False
        #   What was not "stored" is to be sent once more.
        stored = len(source['bytes']) // 2
        del source['bytes'][stored:]
        source['credit'] = stored + 1000
        self.say(asked, opened=dict(
            stream=STREAM, session=source['session'], offset=stored,
            credit=source['credit'], chunk_bytes=4096,
            protection=dict(k=1, m=0)))

    def on_piece(self, asked, piece, payload):
        source = self.source
        if piece.session != source['session'] or source['mute']:
            return
        here = len(source['bytes'])
        if piece.offset != here or piece.offset + len(payload) > \
                source['credit'] or not payload:
            self.wrong.append(f'a piece [{piece.offset}, +{len(payload)}) at '
                              f'{here} with credit {source["credit"]}')
        source['bytes'] += payload
        if len(source['bytes']) < source['credit']:
            return
        #   All credit is used: three things go wrong, one after the other.
        if source['opened'] == 1 and source['credit'] > 100_000:
            source['mute'] = True
            return self.refuse(asked, 40, 3)
        if source['opened'] == 2 and source['credit'] > 100_000:
            source['mute'] = True       # And nothing is answered.
            return
        source['credit'] += 50_000
        self.progress(asked)

    def progress(self, asked, **more):
        source, here = self.source, len(self.source['bytes'])
        self.say(asked, progress=dict(dict(
            session=source['session'], received=here, stored=here // 2,
            settled=here // 4, credit=source['credit']), **more))

    def on_source_keep(self, asked, keep):
        if keep.session == self.source['session'] and not self.source['mute']:
            self.progress(asked)

    def on_finish(self, asked, finish):
        source, here = self.source, len(self.source['bytes'])
        if finish.session != source['session'] or source['mute']:
            return
        if finish.offset != here:
            self.wrong.append(f'an end at {finish.offset}, not {here}')
        #   Sealed at first, settled with the second asking.
        done = 'ended' in source
        source['ended'] = True
        self.progress(asked, stored=here, sealed=True,
                      settled=here if done else here // 2)


class Quiet(Crooked):
    """A forwarder of many sources that is good until it is hushed: then it
    answers nothing, and notes in `again` who opens its stream again.
    """

    def __init__(self, message):
        self.hushed, self.again = False, set()
        self.streams, self.sessions = {}, {}
        self.since = 0              # When the last one came.
        super().__init__(message)

    def on_open(self, asked, words):
        if self.hushed:
            return self.again.add(words.name)
        self.since = time.monotonic()
        stream = self.streams.setdefault(words.name, bytearray())
        session = 100 + len(self.sessions)
        self.sessions[session] = stream
        self.say(asked, opened=dict(
            stream=STREAM, session=session, offset=len(stream),
            credit=WINDOW, chunk_bytes=4096, protection=dict(k=1, m=0)))

    def on_piece(self, asked, piece, payload):
        stream = self.sessions[piece.session]
        if not self.hushed and piece.offset == len(stream):
            stream += payload

    def on_source_keep(self, asked, keep):
        self.progress(asked, keep.session)

    def on_finish(self, asked, finish):
        self.progress(asked, finish.session, sealed=True)

    def progress(self, asked, session, **more):
        size = len(self.sessions[session])
        if not self.hushed:
            self.say(asked, progress=dict(session=session, received=size,
                                          stored=size, settled=size,
                                          credit=WINDOW, **more))
