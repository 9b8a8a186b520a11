"""What readers make of a run's records: facts, curves, pages, points, verdicts. Training never imports it."""
