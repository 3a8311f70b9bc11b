"""The simulator of the live tree, over seeds that nobody has seen."""
import sim

BUILT, BEFORE, KINDS = sim.BUILT, sim.BEFORE, sim.KINDS
lack = sim.lack


def play(job):
    sim.play(job, '--live', kind='live')
