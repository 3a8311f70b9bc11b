"""Every crash state of the chunk store and of the catalogue.

For each seed a workload of 200 operations, cut at every write, sync, rename
and other change of the disk in turn; what was not synced is dropped, kept and
torn by the seed.
"""
import counted

TESTS = 'build/release/tests/unit'
STORE = 'tests/faults/crash_test'
CATALOGUE = 'brokers/forwarder/catalogue_crash_test'
BUILT, BEFORE = [f'{TESTS}/{STORE}', f'{TESTS}/{CATALOGUE}'], []
KINDS = ('crash state', 'catalogue crash state')
SEEDS = 4                 # Of a store's workload, in a round,
CATALOGUE_SEEDS = 12      # and of a catalogue's, which is quick.


def lack():
    return None


def play(job):
    first = job.seed
    while first == job.seed or not job.is_over():
        for program, seeds in ((STORE, SEEDS), (CATALOGUE, CATALOGUE_SEEDS)):
            counted.run(job, f'tests/unit/{program}', first, seeds,
                        name=f'crash-{first}')
        job.tell()
        first += CATALOGUE_SEEDS
