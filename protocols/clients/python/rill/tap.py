"""Listening to what happens at the nodes: WIRE.md, "The tap"."""
import asyncio
import collections

import zmq
from google.protobuf.message import DecodeError

from .errors import RillError
from .v1.event_pb2 import Event, Sample


class Tap:
    """An asynchronous iterator of Events and Samples; made by
    Connection.tap(). close() ends it.

    kinds  names of Event.what, and 'sample'; none: all of them
    lost   events by node that were told and not heard
    silent nodes that were named and do not answer
    """

    def __init__(self, connection, kinds):
        self.connection, self.kinds = connection, list(kinds)
        known = Event.DESCRIPTOR.oneofs_by_name['what'].fields
        wrong = {*self.kinds} - {'sample', *(f.name for f in known)}
        if wrong:
            raise ValueError(f'no kind of event: {", ".join(sorted(wrong))}')
        self.lost, self.silent = collections.Counter(), []
        self.last, self.socket = {}, None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()

    def close(self):
        if self.socket:
            self.socket.close()

    async def open(self):
        from .connection import endpoint, open_socket
        reports = [r for r in await self._reports() if r.tap_at]
        if not reports:
            raise RillError('absent', 'no node has a tap')
        endpoints = [endpoint(report.tap_at) for report in reports]
        self.socket = open_socket(zmq.SUB, [])
        self.socket.rcvhwm = 10000
        for report, told_at in zip(reports, endpoints):
            self.socket.connect(told_at)
            at = f'.v1.{report.role}.{report.node}'
            for kind in self.kinds or ['', 'sample']:
                topic = f'st{at}' if kind == 'sample' else f'ev{at}.{kind}'
                self.socket.subscribe(topic)

    async def _reports(self):
        """How the node that was asked is, and all that are named: a director
        names the origin, and that its workers."""
        known, silent = {}, set()
        ats = [('', self.connection.at)]
        while ats:
            for (name, _), reports in zip(ats, await asyncio.gather(
                    *[self._reports_of(at) for _, at in ats])):
                if reports:
                    known[reports[0].node] = reports
                else:
                    silent.add(name)
            ats = list({name: at for told in known.values()
                        for name, at in self._named_in(told)
                        if name not in {*known, *silent}}.items())
        self.silent = sorted(silent)
        return [told[0] for told in known.values()]

    @staticmethod
    def _named_in(reports):
        for report in reports:
            yield from ((node.name, node.at) for node in report.nodes)
            yield from ((w.name, w.reach) for w in report.workers if w.reach)

    async def _reports_of(self, at):
        """All parts of a node's Report; none where it does not answer."""
        mine = at == self.connection.at
        node = self.connection if mine else type(self.connection)(at)
        try:
            reports = [await node.report()]
            while reports[-1].next:
                reports.append(await node.report(reports[-1].next))
            return reports
        except RillError:
            if mine:
                raise
            return []
        finally:
            if not mine:
                node.close()

    def __aiter__(self):
        return self

    async def __anext__(self):
        while True:
            frames = await self.socket.recv_multipart()
            if len(frames) != 2:
                continue
            try:
                if frames[0].startswith(b'st.'):
                    return self._on_sample(Sample.FromString(frames[1]))
                return self._on_event(Event.FromString(frames[1]))
            except DecodeError:
                continue

    def _count(self, node, kind, first, last):
        """Number `first` came; `last` is the last that is known of."""
        at = (node, kind)
        if at in self.last and first > self.last[at] + 1:
            self.lost[node] += first - self.last[at] - 1
        self.last[at] = last

    def _on_event(self, event):
        self._count(event.node, event.WhichOneof('what'), event.seq, event.seq)
        return event

    def _on_sample(self, sample):
        for told in sample.told:
            if (sample.node, told.kind) in self.last:
                self._count(sample.node, told.kind, told.seq + 1, told.seq)
        return sample
