"""Nodes and sources are killed and stopped at seeded moments."""
import contextlib
import random
import shutil
import signal
import time

from load import Load
from stage import BUILD, Failed, Stage, wait_for
import stage as stages

BUILT, BEFORE = [], []
WORKERS = 6
ROUNDS = 6          # Of one stage; then everything begins anew.
LONGEST = 0.8       # Seconds that a node is gone,
HANG = 3.5          # or hangs (mostly much shorter),
PAUSE = 0.3         # and between two faults.
KINDS = ('worker killed', 'forwarder killed', 'source killed',
         'worker killed while it starts', 'forwarder killed while it starts',
         'worker killed while it hangs', 'worker stopped', 'forwarder stopped',
         'source stopped', 'two nodes gone at once', 'fault during a put',
         'fault during a push', 'fault during a get', 'stream read back exact')


def lack():
    return None


class Round:
    """One load, and every fault there is in an order of the seed's."""

    def __init__(self, job, stage, load, chance):
        self.job, self.stage, self.load = job, stage, load
        self.chance = chance

    def play(self):
        faults = [self.worker, self.worker, self.worker, self.forwarder,
                  self.forwarder, self.two_workers, self.both, self.hang,
                  self.hang_and_die, self.forwarder_hangs, self.start_worker,
                  self.start_forwarder, self.source, self.source_hangs]
        self.chance.shuffle(faults)
        for fault in faults:
            fault()
            time.sleep(self.chance.uniform(0, PAUSE))

    #   Deeds

    def note(self, kind):
        self.job.hit(kind)
        for what in self.load.under_way():
            self.job.hit(f'fault during a {what}')

    def some_worker(self):
        return self.chance.choice(self.stage.names[1:])

    def kill(self, *names, kind=None):
        for name in names:
            self.note(kind or ('forwarder killed' if name == 'origin'
                               else 'worker killed'))
        if len(names) > 1:
            self.job.hit('two nodes gone at once')
        self.stage.kill(*names)

    def gone(self):
        time.sleep(self.chance.uniform(0, LONGEST))

    def hung(self, name, kind):
        """Stop a node and let time pass; the caller wakes or kills it."""
        self.note(kind)
        self.stage.signal(name, signal.SIGSTOP)
        time.sleep(self.chance.triangular(0.05, HANG, 0.05))

    def again(self, name, kind):
        """It dies once more on its way up, and comes."""
        self.gone()
        self.stage.processes[name] = self.stage.spawn(name)
        time.sleep(self.chance.uniform(0, 0.1))
        self.kill(name, kind=kind)
        self.stage.start(name)

    #   Faults

    def worker(self):
        name = self.some_worker()
        self.kill(name)
        self.gone()
        self.stage.start(name)

    def two_workers(self):
        names = self.chance.sample(self.stage.names[1:], 2)
        self.kill(*names)
        for name in names:
            self.gone()
            self.stage.start(name)

    def forwarder(self):
        self.kill('origin')
        self.gone()
        self.stage.start('origin')

    def both(self):
        names = [self.some_worker(), 'origin']
        self.kill(*names)
        self.chance.shuffle(names)
        for name in names:
            self.gone()
            self.stage.start(name)

    def hang(self):
        name = self.some_worker()
        self.hung(name, 'worker stopped')
        self.stage.signal(name, signal.SIGCONT)

    def hang_and_die(self):
        name = self.some_worker()
        self.hung(name, 'worker stopped')
        self.kill(name, kind='worker killed while it hangs')
        self.stage.start(name)

    def forwarder_hangs(self):
        self.hung('origin', 'forwarder stopped')
        self.stage.signal('origin', signal.SIGCONT)

    def start_worker(self):
        name = self.some_worker()
        self.kill(name)
        self.again(name, 'worker killed while it starts')

    def start_forwarder(self):
        self.kill('origin')
        self.again('origin', 'forwarder killed while it starts')

    def a_put(self):
        """The put that is under way, as soon as there is one."""
        wait_for(lambda: (p := self.load.putting) and p.poll() is None,
                 'a put is under way')
        return self.load.putting

    def source(self):
        process = self.a_put()
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()
        if process.returncode == -signal.SIGKILL:
            self.job.hit('source killed')

    def source_hangs(self):
        process = self.a_put()
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGSTOP)
            self.job.hit('source stopped')
            time.sleep(self.chance.triangular(0.05, HANG, 0.05))
            process.send_signal(signal.SIGCONT)


def rounds(job, stage, chance, name):
    """Some rounds on one stage; what was stored in one is read in the next."""
    kept = {}
    for nth in range(ROUNDS):
        with Load(stage, job, chance, f'{name}-{nth}') as load:
            load.settled.update(kept)
            Round(job, stage, load, chance).play()
            load.finish()
            load.remove(keep=2)
            kept = load.settled
        job.tell()
        if job.is_over():
            return


def keep_logs(job, stage, name):
    """Whoever looks for the cause needs what the nodes said."""
    folder = BUILD / 'campaign' / name
    folder.mkdir(parents=True, exist_ok=True)
    for log in stage.home.glob('*.log'):
        shutil.copy(log, folder)
    job.breach(f'{name}: the logs are in {folder}')


def on_stage(job, make, name, play):
    """Play on a new stage; a failure is a breach, its logs are kept."""
    before = stages.failures
    try:
        with make() as stage:
            had = len(job.breaches)
            try:
                play(stage)
            except Failed as failed:
                job.breach(f'{name}: {failed}')
            if len(job.breaches) > had:
                keep_logs(job, stage, name)
    except Failed as failed:
        job.breach(f'{name}: {failed}')
    if stages.failures > before:
        job.breach(f'{name}: a node has a defect, told above')


def stage_after_stage(job, kind, make, rounds):
    """Until the job is over, and once at least: a stage of make(nth), and on it
    rounds(job, stage, chance, name). Each has a seed and a name of its own."""
    nth = 0
    while not nth or not job.is_over():
        name = f'{kind}-{job.seed + nth}'
        chance = random.Random(job.seed + nth)
        on_stage(job, lambda: make(nth), name,
                 lambda stage: rounds(job, stage, chance, name))
        job.tell()
        nth += 1


def play(job):
    stage_after_stage(job, 'kills', lambda _: Stage(WORKERS, space='2GB'),
                      rounds)
