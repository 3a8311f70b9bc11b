"""What a peer sends does not grow a node, and is counted (18, 21)."""
import math
import os
import pathlib
import re
import signal

import zmq

from stage import SLOW, STEADY, Relay, Stage, end, expect, stored, wait_for

BUDGET = 64 << 20
ROOM = (1500 if SLOW else 160) << 20    # Program, sockets, index; sanitizers


def resident(process):
    status = pathlib.Path(f'/proc/{process.pid}/status').read_text()
    return int(re.search(r'VmHWM:\s+(\d+) kB', status)[1]) << 10


with Stage(patience=STEADY, origin='memory: 64MiB') as stage:
    with stage.case('forwarder_core 5, invariant 18: while no worker takes '
                    'anything the forwarder holds no more than its memory '
                    'allows'):
        path = stage.file('clip', 400_000_000)
        with Relay(stage, up=BUDGET // 8) as relay:
            process = stage.begin('put', path, at=relay.at)
            wait_for(lambda: stored(stage, 'clip') > 0, 'something is stored')
            for name in stage.names[1:]:
                stage.signal(name, signal.SIGSTOP)
            relay.let(up=math.inf)

            def given():
                held = stage.status()['memory_bytes']
                expect(held <= BUDGET, f'{held} bytes in open chunks')
                return held > BUDGET / 4
            wait_for(given, 'the forwarder is given bytes')
            for name in stage.names[1:]:
                stage.signal(name, signal.SIGCONT)
            process.communicate()
        expect(process.returncode == 0, f'put ended: {process.returncode}')
        most = resident(stage.processes['origin'])
        expect(most < BUDGET + ROOM, f'{most >> 20} MiB were resident')
        stage.expect_same('clip', path)
    with stage.case('invariant 21: nonsense on every front is counted, and '
                    'answered once'):
        context = zmq.Context()
        def dropped():
            return stage.counters()['messages_total_unreadable']
        before = dropped()
        for name in stage.names:
            dealer = context.socket(zmq.DEALER)
            dealer.setsockopt(zmq.LINGER, 30_000)
            dealer.connect(f'tcp://{stage.at[name]}')
            for parts in ([b'', b'nonsense'], [b'nonsense'], [b'', b'', b''],
                          [b'', os.urandom(70_000)], [b''] * 9,
                          [b'', b'\x08\x63']):
                dealer.send_multipart(parts)
            answers = 0
            while dealer.poll(500):
                dealer.recv_multipart()
                answers += 1
            expect(answers <= 6, f'{name} answered {answers} times')
            dealer.close()
        context.term()
        wait_for(lambda: dropped() >= before + 5, 'what is none is counted')
        stage.wait_live(*stage.names[1:])
        small = stage.file('small', 1_000_000)
        stage.put(small)
        stage.expect_same('small', small)
end()
