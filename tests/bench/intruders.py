#!/usr/bin/python3
"""What bad peers cost a cache, and those it serves.

  intruders.py [SECONDS]      3 s of each if not said

A cache carries a live stream; somebody asks it for a chunk it holds, again and
again. Then the same under each attack: the messages and packets that come in a
second, the processor time of the cache in parts of a core, and how long an
answer takes.
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

ROW = '{:26} {:>9} {:>7} {:>9} {:>9} {:>9}'
CAME = 'messages_received_total', 'packets_received_total', 'packets_dropped_total_strange', 'packets_dropped_total_overflow'
TICKS = os.sysconf('SC_CLK_TCK')


def used(process):
    stat = pathlib.Path(f'/proc/{process.pid}/stat').read_text()
    return sum(map(int, stat.rpartition(')')[2].split()[11:13])) / TICKS


def opens(stage):
    """10,000 a second of one peer, half of them of streams that are not."""
    peer, said = hostile.Peer(stage.at['r1'], SNDHWM=0, RCVHWM=0), 0
    begun = time.monotonic()
    while True:
        while said < (time.monotonic() - begun) * 10_000:
            said += 1
            peer.tell(say(said, watch={'live': True, 'credit': 1, 'name':
                      'cam' if said % 2 else f'n{chance.getrandbits(64):x}'}))
        while peer.hear(0):
            pass
        time.sleep(0.002)


def flood(stage):
    """50,000 packets a second to the group and to the cache."""
    stage.lan.flood([('127.0.0.1', int(stage.at['r1'].split(':')[1]))], 600)


def silence(stage):
    wires = [Wire(stage.at['r1'], shakes=n % 2) for n in range(1000)]
    time.sleep(600)
    return wires


def deaf(stage):
    wires = never_reads(stage, 'r1')
    time.sleep(600)
    return wires


def topics(stage):
    guest = subscriptions(stage, stage.publisher('r1'))
    time.sleep(600)
    return guest


ATTACKS = {'nobody attacks': None, '50,000 packets a second': flood,
           '10,000 opens a second': opens, '60,000 subscriptions': topics,
           '1,000 silent connections': silence, '12 who read nothing': deaf}


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


def came(stage):
    counts = stage.counters('r1')
    return sum(counts[what] for what in CAME)


def measure(stage, seconds):
    peer, clip, took = hostile.Peer(stage.at['r1']), stage.stream('clip'), []
    before, begun = used(stage.processes['r1']), time.monotonic()
    while time.monotonic() < begun + seconds:
        asked = time.monotonic()
        peer.ask(ask={'stream': clip, 'offset': 5})
        took.append((time.monotonic() - asked) * 1000)
        time.sleep(0.005)
    peer.close()
    cpu = (used(stage.processes['r1']) - before) / (time.monotonic() - begun)
    return cpu, statistics.median(took), \
        statistics.quantiles(took, n=100)[98], max(took)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(ROW.format('', 'a second', 'core', 'median', 'p99', 'most'))
    with Show() as stage:
        stage.fronts = [stage.at['r1'], stage.at['t1']]
        stage.lan = Lan(stage)
        stage.lan.kinds()               # It has heard a real one.
        for says, attack in ATTACKS.items():
            begun, before = time.monotonic(), came(stage)
            child = beside(stage, attack)
            time.sleep(1)               # It has begun.
            cpu, *took = measure(stage, seconds)
            if child:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            lasted = time.monotonic() - begun
            time.sleep(1)               # What overflowed is told by the next.
            print(ROW.format(says, f'{(came(stage) - before) / lasted:,.0f}',
                             f'{cpu:.1%}', *(f'{ms:.2f} ms' for ms in took)),
                  flush=True)
        stage.finish()


if __name__ == '__main__':
    main()
