"""The power of machines is cut, and everything acknowledged is there.

A machine is a file system on a loop device with one or two nodes on it. A cut
is ext4's own shutdown without a flush of its journal: what was not synced is
gone when it is mounted again. Each cut proves that it was one: bytes that
were written and not synced just before it must be gone after it.
"""
import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import tempfile
import time

from kills import stage_after_stage
from load import Load
from stage import Failed, Stage, expect, wait_for

BUILT = []
# Mounts end with the campaign, however it ends.
BEFORE = ['unshare', '--mount', '--propagation', 'private']
IMAGE_BYTES = 2 << 30     # Sparse.
SPACE, SEGMENT = '600MB', '16MiB'
SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2   # EXT4_IOC_SHUTDOWN and its flag
MACHINES = {'root': ['origin'], 'one': ['w1', 'w2'], 'two': ['w3', 'w4'],
            'three': ['w5', 'w6']}
ROUNDS = 4                # Of one stage.
LONGEST, PAUSE = 1.0, 1.2
KINDS = ('power cut', 'cut of the forwarder', 'cut of two workers',
         'cut of the forwarder and two workers', 'cut of all machines at once',
         'cut while it starts', 'cut met by running nodes',
         'cut met by stopped nodes', 'unsynced file gone after the cut',
         'cut during a put', 'cut during a push', 'stream read back exact')


def mounted(home):
    """Try it once: a file system on a loop device whose power can be cut."""
    with contextlib.ExitStack() as stack:
        machine = Machine(home, 'trial')
        stack.callback(machine.remove)
        machine.make()
        machine.cut()
        machine.back()


def lack():
    """What this machine has not, or None."""
    if os.geteuid():
        return 'mounting needs root'
    with tempfile.TemporaryDirectory(prefix='rill-power-') as home:
        try:
            mounted(home)
        except (OSError, Failed) as failed:
            return f'no file system on a loop device: {failed}'
    return None


def run(*args):
    done = subprocess.run(list(map(str, args)), capture_output=True, text=True)
    expect(done.returncode == 0, f'{args[0]}: {done.stderr.strip()}')


class Machine:
    """One file system in a file, and its power switch."""

    def __init__(self, home, name):
        self.name = name
        self.image = os.path.join(home, f'{name}.img')
        self.place = os.path.join(home, f'{name}.disk')

    def make(self):
        with open(self.image, 'wb') as image:
            image.truncate(IMAGE_BYTES)
        run('mkfs.ext4', '-q', '-F', '-m', 0, '-E', 'nodiscard', self.image)
        os.mkdir(self.place)
        self.mount()

    def mount(self):
        run('mount', '-o', 'loop,noatime', self.image, self.place)

    def cut(self):
        """The power goes. What was written and not synced is lost, this file
        among it; it proves the cut."""
        with open(os.path.join(self.place, 'unsynced'), 'wb') as file:
            file.write(b'not synced')
        place = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(place, SHUTDOWN, struct.pack('I', NO_LOG_FLUSH))
        finally:
            os.close(place)

    def back(self):
        """The power is back; nobody uses the old mount any more."""
        wait_for(self.unmount, f'{self.place} can be unmounted')
        self.mount()
        path = os.path.join(self.place, 'unsynced')
        expect(not os.path.exists(path) or os.path.getsize(path) == 0,
               'the cut was none: what was not synced is there')

    def unmount(self):
        return subprocess.run(['umount', self.place],
                              capture_output=True).returncode == 0

    def remove(self):
        if os.path.ismount(self.place):
            wait_for(self.unmount, f'{self.place} can be unmounted')


class Rack(Stage):
    """A stage whose nodes' data lies on machines."""

    def __init__(self):
        super().__init__(workers=6, space=SPACE, **{
            f'w{n}': f'segment: {SEGMENT}' for n in range(1, 7)})
        self.machines = {name: Machine(self.home, name) for name in MACHINES}

    def __enter__(self):
        try:
            for machine in self.machines.values():
                machine.make()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return super().__enter__()

    def __exit__(self, kind, error, trace):
        try:
            self.close()
        finally:
            for machine in self.machines.values():
                machine.remove()
            super().__exit__(kind, error, trace)

    def place(self, name):
        machine = next(m for m, nodes in MACHINES.items() if name in nodes)
        return self.home / f'{machine}.disk' / name


class Round:
    """One load, and every cut there is in an order of the seed's."""

    def __init__(self, job, rack, load, chance):
        self.job, self.rack, self.load, self.chance = job, rack, load, chance

    def play(self):
        cuts = [self.forwarder, self.workers, self.workers, self.some,
                self.all, self.starting]
        self.chance.shuffle(cuts)
        for cut in cuts:
            time.sleep(self.chance.uniform(0, PAUSE))
            cut()
            wait_for(self.load.look, 'the push can be looked at')

    def forwarder(self):
        self.cut('root', kind='cut of the forwarder')

    def a_machine(self):
        return self.chance.choice([m for m in MACHINES if m != 'root'])

    def workers(self):
        self.cut(self.a_machine(), kind='cut of two workers')

    def some(self):
        self.cut(self.a_machine(), 'root',
                 kind='cut of the forwarder and two workers')

    def all(self):
        self.cut(*MACHINES, kind='cut of all machines at once')

    def starting(self):
        """Once more while its nodes start."""
        machine = self.chance.choice(list(MACHINES))
        self.off(machine)
        self.on(machine)
        for name in MACHINES[machine]:
            self.rack.processes[name] = self.rack.spawn(name)
        time.sleep(self.chance.uniform(0, 0.2))
        self.cut(machine, kind='cut while it starts')

    #   The switch

    def cut(self, *machines, kind):
        """Off, a while, on, and its nodes run."""
        self.job.hit(kind)
        self.off(*machines)
        time.sleep(self.chance.uniform(0, LONGEST))
        order = list(machines)
        self.chance.shuffle(order)
        for machine in order:
            self.on(machine)
            self.rack.start(*MACHINES[machine])

    def off(self, *machines):
        """Its nodes find out that nothing can be written, or nothing more."""
        nodes = [n for m in machines for n in MACHINES[m]]
        stopped = self.chance.random() < 0.5
        for what in self.load.under_way():
            if what != 'get':
                self.job.hit(f'cut during a {what}')
        for name in nodes if stopped else []:
            self.rack.signal(name, signal.SIGSTOP)
        for machine in machines:
            self.rack.machines[machine].cut()
            self.job.hit('power cut')
            self.job.hit(f'cut met by {"stopped" if stopped else "running"} '
                         'nodes')
        if not stopped:
            time.sleep(self.chance.uniform(0, 0.05))
        self.rack.kill(*nodes)

    def on(self, machine):
        self.rack.machines[machine].back()
        self.job.hit('unsynced file gone after the cut')


def rounds(job, rack, chance, name):
    kept = {}
    for nth in range(ROUNDS):
        with Load(rack, job, chance, f'{name}-{nth}') as load:
            load.settled.update(kept)
            Round(job, rack, load, chance).play()
            load.finish()
            load.remove(keep=2)
            kept = load.settled
        job.tell()
        if job.is_over():
            return


def play(job):
    stage_after_stage(job, 'power', lambda _: Rack(), rounds)
