"""Checkpoints: folders of weights, of daybreak and of other tools, read and written."""
