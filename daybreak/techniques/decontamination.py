"""Decontamination: finds training documents that share 13 words in a row with evaluation texts (arXiv:2005.14165)."""

from dataclasses import dataclass
from typing import ClassVar

from daybreak.data.cleaning import Cleaning
from daybreak.techniques import Context, Technique, TextContext


@dataclass(frozen=True, kw_only=True)
class Decontamination(Technique):
    """Runs of 13 words (arXiv:2005.14165, appendix C), or of 26 Chinese characters, which are about as many words."""

    claim: ClassVar[str] = "bits_per_byte"
    standing: ClassVar[str] = "nothing to measure: by default it counts, and changes no text"
    does: ClassVar[str] = "counts (or drops) documents that share a run of 13 words with the text that is scored on"
    refuses_when: ClassVar[str] = "never; without evaluation texts it does nothing"
    action: str = "report"  # or drop; texts of one origin share formulas, and a run of 13 words alone proves nothing
    least_runs: int = 1  # different ones that a document must share to go; more spare one that quotes a phrase

    def documents(self, cleaning: Cleaning, run: Context | TextContext) -> tuple[Cleaning, int]:
        """`run.evaluation_texts` are strings; without any there is nothing to look for."""
        from daybreak.data import decontamination

        texts = getattr(run, "evaluation_texts", ())
        step = decontamination.Decontamination.against(texts, least_runs=self.least_runs, action=self.action)
        return (cleaning.with_step(step), 1) if len(step) else (cleaning, 0)
