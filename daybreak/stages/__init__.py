"""Verbs: one file each; a run folder goes in, a fuller run folder comes out."""
