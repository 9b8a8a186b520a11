"""Layouts: what a class of transformers writes into config.json, and the shape that this is."""
