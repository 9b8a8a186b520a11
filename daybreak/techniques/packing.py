"""Document masking: in rows of several documents, attention stays within each (arXiv:2107.02027)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from daybreak.core.types import Decisions, Machine
from daybreak.models.gpt import Gpt
from daybreak.techniques import Context, Technique


@dataclass(frozen=True, kw_only=True)
class Packing(Technique):
    """Documents in one row do not see each other (arXiv:2107.02027).

    Positions go on over a border: rotary ones are relative. Off unless asked for: figures are scored in windows that
    cross borders as any reader of model/ would, which a network trained so has never seen.
    """

    claim: ClassVar[str] = "bits_per_byte"
    standing: ClassVar[str] = "held-out windows cross the borders of documents, which such a network has never seen"
    does: ClassVar[str] = "attention does not cross the borders of documents"
    refuses_when: ClassVar[str] = "where documents are longer than the context on average"
    default: ClassVar[bool] = False
    inside_layers: ClassVar[bool] = True
    least_borders: float = 1.0  # in a row; with fewer, most rows are one document anyway

    def refuses(self, plan: Decisions, machine: Machine) -> str | None:
        predicted = plan.predicted
        borders = plan.network.context_length * predicted.corpus_documents / max(1, predicted.corpus_tokens)
        if borders < self.least_borders:
            return f"documents are long: one sequence of the context has only {borders:.2f} document borders"
        return None

    def module(self, module: Gpt, run: Context) -> tuple[Gpt, int]:
        end_of_text = run.plan.tokenizer.end()

        def seen(tokens_BT: Tensor) -> Tensor:
            return within_documents(tokens_BT, end_of_text, causal=module.causal)

        module.attention_mask_fn = seen
        return module, len(module.blocks())


def within_documents(tokens_BT: Tensor, end_of_text: int, *, causal: bool = True) -> Tensor:
    """Which positions each one attends to: those since the last end of text, which it sees, too.

    causal: and not after it. bool [B, 1, T, T]; the end-of-text token stands before a document and belongs to it.
    """
    document_BT = (tokens_BT == end_of_text).cumsum(1)
    seen_BTT = document_BT[:, :, None] == document_BT[:, None, :]
    return (seen_BTT.tril() if causal else seen_BTT)[:, None]
