"""Words: equal words have equal hashes wherever they stand, and runs of words likewise."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from daybreak.data import word_hashes


def test_words_are_runs_of_letters_and_chinese_characters_alone() -> None:
    found = word_hashes.hashes("Hello, hello WORLD! 你好你 it's 42 x42")
    hello, again, world, you, good, you_again, it, s, number, mixed = found
    assert hello == again and you == you_again
    assert len({hello, world, you, good, it, s, number, mixed}) == 8
    assert len(word_hashes.hashes("")) == len(word_hashes.hashes(" ,.\n!")) == 0


@given(st.lists(st.text(alphabet="abcé漢字 ", min_size=0, max_size=12), max_size=8))
def test_a_hash_does_not_depend_on_what_stands_around(parts: list[str]) -> None:
    apart = [word_hashes.hashes(part) for part in parts]
    together = word_hashes.hashes(" ; ".join(parts))
    assert np.array_equal(together, np.concatenate([np.empty(0, np.uint64), *apart]))


def test_any_string_has_words() -> None:
    assert len(word_hashes.hashes("a\ud800b \0 c")) >= 2  # half of a surrogate pair
    assert len(word_hashes.hashes("x" * 1_000_000)) == 1


def test_runs_are_of_so_many_words() -> None:
    found = word_hashes.hashes("a b c d a b c e")
    runs = word_hashes.runs(found, 3)
    assert len(runs) == 6 and runs[0] == runs[4] and len(set(runs.tolist())) == 5
    assert len(word_hashes.runs(found[:2], 3)) == 1 and len(word_hashes.runs(found[:0], 3)) == 0
