"""Report: one page and one JSON file that tell what a run did, from its records alone, at any moment."""
