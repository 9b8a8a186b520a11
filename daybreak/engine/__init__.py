"""Nouns: machine probe, loop, optimizers, schedules, scaling laws, checkpoints."""
