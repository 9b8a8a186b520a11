"""Time budget: which share of its time a run gives to what is not training, read by the plan and by training alike."""

# Scoring.
EVALUATION_SHARE = 0.02  # for the last figure, as the plan guesses it; scores during training take half of that
VALIDATION_SHARE = 0.009  # for scores during training
STOPPING_SHARE = 0.06  # the same where they end a run in time; what they take is won by the earlier end
SCORING_MOST = 0.04  # for the last figure: where all held-out text takes more, a part is scored, spread over it
SAMPLING_SHARE = 0.005  # for samples of what the model writes

# Saving.
SAVING_SHARE = 0.015  # for checkpoints
LOSING_SHARE = 0.02  # between two checkpoints: a kill costs this, and what was on its way to the disk
MODEL_SHARE = 0.02  # for writing model/ during training
CHECKSUM_SHARE = 0.004  # of the training, for checksums of the weights

# Measuring, before the plan.
PROBING_SHARE = 0.04  # the most for timing a further shape
TIMING_SHARE = 0.02  # for the steps of one shape, where that is less than its usual seconds

# What nothing may be planned into.
MARGIN_SHARE = 0.004  # at the end, for what is never as it was measured

UNDIMINISHED = 600.0  # seconds of a budget, up to which scores and samples have their whole share


def evaluation_seconds(share: float, budget: float) -> float:
    """For scores and samples: their price is that of the text and the model, so long runs need a falling share."""
    return share * budget * min(1.0, (UNDIMINISHED / budget) ** 0.5)
