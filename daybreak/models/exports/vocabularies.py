"""Vocabularies: a tokenizer.json as llama.cpp keeps one, for those kinds that it cuts a text by in the same way."""

from daybreak.core.errors import DataError
from daybreak.core.values import Json

# Regular expressions that words are cut by, as llama.cpp names them.
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
PATTERNS = {QWEN2: "qwen2", LLAMA3: "llama-bpe"}
NORMAL, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 3, 4, 5, 6
_SPACE = "\u2581"


class Vocabulary:
    """model and pre: llama.cpp's names of the way of cutting. tokens and types: of each id, [known].

    scores: of each id, where the way of cutting has them. merges: "left right", in order.
    """

    def __init__(self, data: Json, known: int) -> None:
        reason = refuses(data)
        if reason:
            raise DataError(
                "llama.cpp does not support this tokenizer", received=reason, attempt="--tokenizer bpe or bytes"
            )
        vocabulary, added = data["model"]["vocab"], data["added_tokens"]
        self.characters = _of_characters(data)
        self.model, self.pre = ("llama", "default") if self.characters else ("gpt2", _pre(data))
        self.tokens = [f"<|unused_{index}|>" for index in range(known)]
        self.types = [UNUSED] * known
        for spelling, token in vocabulary.items():
            self.tokens[token], self.types[token] = spelling, NORMAL
            if self.characters:
                self._spell(token, spelling)
        for one in added:
            self.tokens[one["id"]] = one["content"]
            self.types[one["id"]] = CONTROL if one["special"] else USER_DEFINED
        self.scores = [0.0] * known if self.characters else None
        self.merges = [m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]]
        if not self.characters and not self.merges:
            # llama.cpp wants merges, and one of two special tokens, which are never cut up, can never happen.
            self.merges = [f"{added[0]['content']} {added[0]['content']}"]

    def _spell(self, token: int, spelling: str) -> None:
        """As llama.cpp has it, whose strings end at a zero and which takes spaces for another sign."""
        spelling = {" ": _SPACE, "\0": "<0x00>"}.get(spelling, spelling)
        self.tokens[token] = spelling
        if len(spelling) == len("<0x00>"):
            self.types[token] = BYTE


def refuses(data: Json) -> str:
    """Why llama.cpp cannot cut a text as this tokenizer does, in words; empty where it can."""
    if "daybreak" in data:
        return f"its tokenizer ({data['daybreak']['kind']}) is daybreak's own; llama.cpp has no equivalent"
    model = data["model"]
    if _of_characters(data):
        return (
            f"its tokenizer has the token {_SPACE}, which llama.cpp takes for a space"
            if _SPACE in model["vocab"]
            else ""
        )
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        return (
            f"its tokenizer is {model.get('type')}; only byte-level BPE, bytes and "
            "characters can be exported to llama.cpp"
        )
    if (data.get("normalizer") or {"type": "NFC"})["type"] != "NFC":  # Qwen's, which llama.cpp leaves out, too
        return "its tokenizer normalizes the text first, and llama.cpp does not"
    if not _pre(data):
        return "its tokenizer splits words by a regular expression that llama.cpp does not know"
    return ""


def _of_characters(data: Json) -> bool:
    """Single characters, and bytes for the rest: llama.cpp's way for SentencePiece, with nothing to join."""
    model = data["model"]
    whole = not data.get("normalizer") and not data.get("pre_tokenizer")
    return bool(whole and model.get("type") == "BPE" and model.get("byte_fallback") and not model["merges"])


def _pre(data: Json) -> str:
    """llama.cpp's name of a byte-level pre-tokenizer; empty where it has none."""
    part = data.get("pre_tokenizer") or {}
    parts = part.get("pretokenizers", []) if part.get("type") == "Sequence" else [part]
    if not parts or parts[-1].get("type") != "ByteLevel" or parts[-1].get("add_prefix_space"):
        return ""
    if len(parts) == 1:
        return "gpt-2" if parts[0].get("use_regex", True) else ""
    if len(parts) > 2 or parts[-1].get("use_regex", True) or parts[0].get("behavior") != "Isolated":
        return ""
    return PATTERNS.get(parts[0].get("pattern", {}).get("Regex", ""), "")
