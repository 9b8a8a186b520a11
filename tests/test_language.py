"""Languages: told by script, common words and model; the filter keeps what it was asked for."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.errors import UsageError
from daybreak.data.cleaning import Document
from daybreak.data.language import LanguageFilter, identified

DATA = Path(__file__).resolve().parents[2] / "shared/data"
SENTENCES = {
    "en": "The committee said that it would meet again on Monday to discuss the plans for the new bridge.",
    "de": "Der Ausschuss teilte mit, dass er am Montag noch einmal über die Pläne für die neue Brücke berät.",
    "fr": "Le comité a indiqué qu'il se réunirait lundi pour discuter des plans du nouveau pont de la ville.",
    "zh": "委员会表示，将于星期一再次开会，讨论新桥的建设计划和资金安排。",
    "ja": "委員会は月曜日に再び会合を開き、新しい橋の計画について話し合うと述べた。",
    "ko": "위원회는 월요일에 다시 모여 새 다리 건설 계획을 논의할 것이라고 밝혔다.",
    "ru": "Комитет сообщил, что снова соберётся в понедельник, чтобы обсудить планы строительства нового моста.",
    "pl": "Komisja poinformowała, że w poniedziałek zbierze się ponownie, aby omówić plany budowy nowego mostu.",
}


@pytest.mark.parametrize("code", SENTENCES)
def test_a_sentence_is_told(code: str) -> None:
    found, confidence = identified(SENTENCES[code] * 2)
    assert found == code and 0.5 < confidence <= 1


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_any_string_has_a_code_and_a_confidence(text: str) -> None:
    code, confidence = identified(text)
    assert 2 <= len(code) <= 3 and 0 <= confidence <= 1


def test_without_letters_no_language() -> None:
    assert identified("12 + 30 = 42 !") == identified("") == ("und", 0.0)
    assert len(identified("x" * 1_000_000 + "\ud800")) == 2


def test_the_filter_keeps_the_languages_that_were_named() -> None:
    notes: list[str] = []
    kept = {c for c in SENTENCES if LanguageFilter(languages="en,zh")(Document(SENTENCES[c] * 4), notes.append)}
    assert kept == {"en", "zh"} and sorted(notes) == sorted(set(SENTENCES) - kept)
    assert LanguageFilter()(Document("Kurz"), notes.append)
    assert LanguageFilter()(Document("int x; " * 40, kind="code"), notes.append)
    with pytest.raises(UsageError, match="two letters"):
        LanguageFilter(languages="english")


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("lm_zh_techdocs/tidb-docs-cn.jsonl.xz", "zh"),
        ("lm_zh_poetry/poetry-song-ci.jsonl.xz", "zh"),
        ("lm_en_techdocs/cpp-docs.jsonl.xz", "en"),
        ("cls_en_imdb/test.jsonl.xz", "en"),
        ("mt_multi30k_en_de_fr/val.de", "de"),
        ("mt_multi30k_en_de_fr/val.fr", "fr"),
    ],
)
def test_real_text_is_told(file: str, code: str) -> None:
    path = DATA / file
    if not path.exists():
        pytest.skip(f"{path} is not here")
    if path.suffix == ".xz":
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for _, line in zip(range(500), lines, strict=False)]
    else:
        lines = path.read_text("utf-8").split("\n")
        texts = [" ".join(lines[start : start + 8]) for start in range(0, 400, 8)]
    texts = [text for text in texts if len(text.encode()) > 200]
    wrong = [text[:80] for text in texts if identified(text)[0] != code]
    assert len(texts) > 40 and len(wrong) <= 0.01 * len(texts), wrong
