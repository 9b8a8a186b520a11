"""Nouns: families, objectives, decoding."""
