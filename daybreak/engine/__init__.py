"""Nouns: machine, probe, loop, optimizers, schedules, scaling laws, checkpoints, guard, memory, faults."""
