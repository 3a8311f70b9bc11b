"""The simulator, over seeds that nobody has seen."""
import counted

BUILT, BEFORE = ['build/release/bin/rill-sim'], []
KINDS = ('seed',)    # rill-sim names every fault that it knows.
SEEDS = 100


def lack():
    return None


def play(job, *args, kind='sim'):
    first = job.seed
    while first == job.seed or not job.is_over():
        counted.run(job, 'bin/rill-sim', *args, '--seeds',
                    f'{first}-{first + SEEDS - 1}', name=f'{kind}-{first}')
        job.tell()
        first += SEEDS
