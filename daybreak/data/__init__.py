"""Nouns: sources, tokenizers, shards, batches."""
