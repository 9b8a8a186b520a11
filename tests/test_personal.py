"""Personal data: planted items are found by kind, look-alikes are left alone, tagging twice is tagging once."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.core.errors import UsageError
from daybreak.data.cleaning import Cleaning, Document
from daybreak.data.personal import PersonalData, find, tagged
from daybreak.techniques.personal_data import PersonalData as Technique

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "benchmarks")]

import planted  # noqa: E402


def kinds(text: str) -> list[tuple[str, str]]:
    return [(text[start:end], kind) for start, end, kind in find(text)]


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_items_are_found_and_look_alikes_are_not(seed: int) -> None:
    texts, items, _ = planted.with_personal_data(random.Random(seed))
    right, wrong, all_items = Counter[str](), Counter[str](), Counter[str]()
    for text, planted_here in zip(texts, items, strict=True):
        all_items.update(kind for _, kind in planted_here)
        for found in kinds(text):
            (right if found in planted_here else wrong)[found[1]] += 1
    assert set(all_items) == set(planted.KINDS) and sum(all_items.values()) == 500
    for kind, count in all_items.items():
        assert right[kind] >= 0.95 * count, kind
        assert wrong[kind] <= 0.05 * (right[kind] + wrong[kind]), kind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b+c@mail.example.co.uk, 邮箱zhang@qq.com。", ["email", "email"]),
        ("user@ and @user and icon@2x.png and git@github.com:a/b and a@b", []),
        ("call (212) 736-5000 or +44 20 7946 0958; 电话13812345678，010-62770000", ["phone"] * 4),
        ("订单号13812345678, order 212-736-5000, ISBN 978-0-306-40615-7", []),
        ("身份证号11010519491231002X。", ["id_number"]),
        ("11010519491331002X 110105194912310021", []),  # no such month, and a wrong check
        ("SSN 536904399, 536-90-4399, not 536904399 nor 666-12-3456", ["id_number"] * 2),
        ("AB 12 34 56 C but not QQ 12 34 56 C", ["id_number"]),
        ("GB82 WEST 1234 5698 7654 32 and GB83 WEST 1234 5698 7654 32", ["bank_account"]),
        ("4111 1111 1111 1111, 378282246310005, 4111 1111 1111 1112", ["payment_card"] * 2),
        ("统一社会信用代码91110000600037341L。", ["company_code"]),
        ("8.8.8.8 在1.1.1.1上 http://9.9.9.9/ 2a00:1450:4001:81b::200e", ["ip_address"] * 4),
        ("v1.2.3.4 version 8.8.4.4 版本8.8.4.4 10.0.0.1 192.0.2.7 1.2.3.4.5 999.1.1.1 2001:db8::1 a::b", []),
        ("passport no. E12345678, 护照号E87654321, E12345678", ["passport"] * 2),
        ("AKIAIOSFODNN7EXAMPLE ghp_" + "a1B2" * 9 + " sk-learn-has-very-long-names-too", ["secret"] * 2),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE/+abc=\n-----END RSA PRIVATE KEY-----", ["secret"]),
        ("-----BEGIN PUBLIC KEY-----\nMIIE/+abc=\n-----END PUBLIC KEY-----", []),
        ("2024-01-02 03:04:05, 3.14159265358979, 31.2304, 121.4737, 1700000000, 1,234,567.89", []),
    ],
)
def test_by_example(text: str, expected: list[str]) -> None:
    assert [kind for _, kind in kinds(text)] == expected, kinds(text)


def test_tagging_writes_the_kind_in_its_place_and_once() -> None:
    texts, items, _ = planted.with_personal_data(random.Random(5), 60, 60)
    for text, planted_here in zip(texts, items, strict=True):
        once = tagged(text)
        assert tagged(once) == once and not find(once)
        for value, kind in planted_here:
            assert value not in once and once == text.replace(value, f"<{kind.upper()}>")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["13812345678", "8.8.8.8", "@", "a@b.io", " ", ".", "-", "x", "+86", "4", "号", ":"])))
def test_tagging_any_text_twice_is_tagging_it_once(parts: list[str]) -> None:
    once = tagged("".join(parts))
    assert tagged(once) == once


def test_the_step_reports_tags_or_drops() -> None:
    documents = [Document("write to li@163.com or 8.8.8.8"), Document("nothing here, 1984")]
    for action, left in (
        ("report", [documents[0].text, documents[1].text]),
        ("tag", ["write to <EMAIL> or <IP_ADDRESS>", documents[1].text]),
        ("drop", [documents[1].text]),
    ):
        cleaning, places = Technique(action=action).documents(Cleaning(), None)  # type: ignore[arg-type]
        tallies = cleaning.tallies()
        assert [d.text for d in cleaning.cleaned(documents, tallies)] == left and places == 1
        account = tallies[0].account()
        assert account.counts == {"email": 1, "ip_address": 1}
        assert (account.removed_documents, account.changed_documents) == (action == "drop", action == "tag")
    with pytest.raises(UsageError, match="received: action=shred"):
        PersonalData(action="shred")


@pytest.mark.parametrize("text", ["1 " * 50_000, "1.1" * 30_000, "a" * 100_000 + "@", "@" * 20_000, ":" * 50_000])
def test_hostile_text_takes_no_longer_than_other_text(text: str) -> None:
    import time

    began = time.process_time()
    find(text)
    assert time.process_time() - began < 5
