#!/usr/bin/python3
"""What bad peers cost a node, and those it serves.

  intruders.py [SECONDS]      3 s of each if not said

Somebody asks for chunks, again and again: a cache that carries a live stream,
for one it holds; the forwarder, for any of a clip, which it has from workers.
The same under each attack: the messages and packets that come in a second, the
processor time of the nodes attacked in parts of a core, and how long an answer
takes.
"""
import os
import pathlib
import signal
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'plays'))
from intruders import (Lan, Show, Wire, chance, never_reads, say,
                       subscriptions)
import zmq

import hostile

ROW = '{:31} {:>9} {:>7} {:>9} {:>9} {:>9}'
CAME = ('messages_received_total', 'worker_messages_received_total_front',
        'worker_messages_received_total_chunks',
        'packets_received_total', 'packets_dropped_total_strange',
        'packets_dropped_total_overflow')
TICKS = os.sysconf('SC_CLK_TCK')


def used(process):
    stat = pathlib.Path(f'/proc/{process.pid}/stat').read_text()
    return sum(map(int, stat.rpartition(')')[2].split()[11:13])) / TICKS


def opens(stage):
    """10,000 a second of one peer, half of them of streams that are not."""
    peer, said = hostile.Peer(stage.fronts[0], SNDHWM=0, RCVHWM=0), 0
    begun = time.monotonic()
    while True:
        while said < (time.monotonic() - begun) * 10_000:
            said += 1
            peer.tell(say(said, watch={
                'live': True, 'credit': 1, 'name': stage.streams[0] if said % 2
                else f'n{chance.getrandbits(64):x}'}))
        while peer.hear(0):
            pass
        time.sleep(0.002)


def flood(stage):
    """50,000 packets a second to the group and to the cache."""
    stage.lan.flood([('127.0.0.1', int(stage.fronts[0].split(':')[1]))], 600)


def strangers(stage):
    """10,000 a second: receipts for what nobody pushed, chunks of nobody."""
    push = hostile.Peer(stage.receipts, zmq.PUSH)
    pull = hostile.Peer(stage.pull, zmq.PUSH)
    begun, said = time.monotonic(), 0
    while True:
        while said < (time.monotonic() - begun) * 10_000:
            said += 2
            push.tell(say(receipt={'term': 1, 'store': 1, 'stored': [
                {'stream': chance.getrandbits(64), 'epoch': 1 << 32}]}))
            pull.tell(say(store={'term': said, 'session': said}), bytes(1000))
        time.sleep(0.002)


def silence(stage):
    wires = [Wire(stage.fronts[n % 2], shakes=n % 4 > 1) for n in range(1000)]
    time.sleep(600)
    return wires


def deaf_cache(stage):
    wires = never_reads(stage, 'r1')
    time.sleep(600)
    return wires


def deaf_forwarder(stage):
    wires = hostile.never_reads(stage)
    time.sleep(600)
    return wires


def topics(stage):
    guest = subscriptions(stage, stage.publisher('r1'))
    time.sleep(600)
    return guest


CACHE = {'nobody attacks a cache': None, '50,000 packets a second': flood,
         '10,000 opens a second': opens, '60,000 subscriptions': topics,
         '1,000 silent connections': silence, '12 who read nothing': deaf_cache}
FORWARDER = {'nobody attacks forwarder, w1': None,
             '10,000 opens a second': opens,
             '10,000 strange receipts, chunks': strangers,
             '1,000 silent connections': silence,
             '8 who read nothing': deaf_forwarder}


def beside(stage, attack):
    """The attack, in a process of its own."""
    child = attack and os.fork()
    if child == 0:
        try:
            hostile.context = zmq.Context()     # The parent's is its own.
            attack(stage)
        finally:
            os._exit(0)
    return child


def came(stage, nodes):
    counts = [stage.counters(name) for name in nodes]
    return sum(count[what] for count in counts for what in CAME
               if what in count)


def measure(stage, nodes, chunks, seconds):
    peer, took = hostile.Peer(stage.at[nodes[0]]), []
    clip = peer.ask(describe={'name': 'clip'}).described.stream

    def cpu():
        return sum(used(stage.processes[name]) for name in nodes)
    before, begun = cpu(), time.monotonic()
    while time.monotonic() < begun + seconds:
        asked = time.monotonic()
        peer.ask(ask={'stream': clip, 'offset':
                      5 + chance.randrange(chunks) * 256 * 1024})
        took.append((time.monotonic() - asked) * 1000)
        time.sleep(0.005)
    peer.close()
    return (cpu() - before) / (time.monotonic() - begun), \
        statistics.median(took), statistics.quantiles(took, n=100)[98], \
        max(took)


def rows(stage, attacks, nodes, chunks, seconds):
    for says, attack in attacks.items():
        begun, before = time.monotonic(), came(stage, nodes)
        child = beside(stage, attack)
        time.sleep(1)               # It has begun.
        cpu, *took = measure(stage, nodes, chunks, seconds)
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        lasted = time.monotonic() - begun
        time.sleep(1)               # What overflowed is told by the next.
        print(ROW.format(says, f'{(came(stage, nodes) - before) / lasted:,.0f}',
                         f'{cpu:.1%}', *(f'{ms:.2f} ms' for ms in took)),
              flush=True)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(ROW.format('', 'a second', 'core', 'median', 'p99', 'most'))
    with Show() as stage:
        stage.fronts, stage.streams = [stage.at['r1'], stage.at['t1']], ['cam']
        stage.lan = Lan(stage)
        stage.lan.kinds()               # It has heard a real one.
        rows(stage, CACHE, ['r1'], 1, seconds)
        stage.finish()
    with hostile.Attacked(origin='memory: 64MiB') as stage:
        stage.streams = ['clip']
        rows(stage, FORWARDER, ['origin', 'w1'], 77, seconds)


if __name__ == '__main__':
    main()
