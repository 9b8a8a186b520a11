"""ngram: interpolated Kneser-Ney, counted and not trained."""

from daybreak.core.shapes import NgramShape
from daybreak.models.families.record import Family

FAMILY = Family(name="ngram", shape=NgramShape, objective="next_token", ours_too=False)
