"""Word pieces: the ids that Hugging Face's ``tokenizers`` 0.23 gives, and odd texts."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from algoshelf.core.data.wordpiece import SPECIAL, WordPiece, vocabulary_faults, words

PIECES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "isn", "'", "t"),
    *("muller", "cafe", "!", "\u4f60", "\u597d", "a", "##a", "##b", ",", "strasse", "<", ">", "br"),
]


def parted(text: str, most: int = 512) -> list[str]:
    return [PIECES[number] for number in WordPiece(PIECES, most)(text)[0]][1:-1]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Unaffable, isn't!", ["un", "##aff", "##able", ",", "isn", "'", "t", "!"]),
        ("Caf\u00e9 M\u00fcller", ["cafe", "muller"]),
        ("Cafe\u0301\tMu\u0308ller\r\n", ["cafe", "muller"]),  # decomposed
        ("\u4f60\u597dcafe\u4f60", ["\u4f60", "\u597d", "cafe", "\u4f60"]),
        ("aab", ["a", "##a", "##b"]),
        ("aax", ["[UNK]"]),  # one unknown piece makes the whole word unknown
        ("a\u00a0a\u200ba\x00a\ufffda", ["a", "a", "##a", "##a", "##a"]),  # what is not to be seen
        ("<br>", ["<", "br", ">"]),
        ("[CLS] a", ["[UNK]"] * 3 + ["a"]),  # no text says where it begins
        ("", []),
        (" \n\t", []),
        ("\U0001f600", ["[UNK]"]),
    ],
)
def test_pieces_are_those_of_the_reference(text: str, pieces: list[str]) -> None:
    assert parted(text) == pieces


def test_a_long_text_is_cut_and_that_is_told() -> None:
    cut = WordPiece(PIECES, 6)
    assert cut("a a a a") == ([2, 16, 16, 16, 16, 3], False)
    assert cut("a a a a a") == ([2, 16, 16, 16, 16, 3], True)
    assert cut("aaaaa") == ([2, 16, 17, 17, 17, 3], True)


def test_a_word_of_more_than_100_characters_is_unknown() -> None:
    assert parted("a" * 100) == ["a"] + ["##a"] * 99
    assert parted("a" * 101) == ["[UNK]"]


def test_of_a_text_of_many_words_no_more_is_looked_at_than_is_read() -> None:
    used = time.process_time()
    ids, cut = WordPiece(PIECES, 512)("a " * 100_000)
    short = time.process_time() - used
    used = time.process_time()
    assert sum(1 for _ in words("a " * 100_000)) == 100_000
    assert short < (time.process_time() - used) / 10
    assert cut
    assert len(ids) == 512


def test_long_words_are_neither_remembered_nor_read_to_their_end() -> None:
    made = WordPiece(PIECES, 6)
    tracemalloc.start()
    for number in range(300):
        assert made(f"{number}" + "a" * 4_000)[0] == [2, 1, 3]
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 300 * 4_000 / 2
    assert made("a" * 5_999) == ([2, 1, 3], False)
    assert made("a" * 6_000 + " b") == ([2, 1, 3], True)


def test_what_is_no_vocabulary_is_refused() -> None:
    assert vocabulary_faults(PIECES) == []
    assert vocabulary_faults(None) == ["expected a list of pieces of words"]
    assert vocabulary_faults([*PIECES, "a"]) == ["a piece stands in it twice"]
    assert vocabulary_faults(PIECES[3:]) == [
        f"{', '.join(SPECIAL[:3])} missing, which BERT's vocabularies hold"
    ]
    assert vocabulary_faults(["a", *PIECES[:16]]) == ["expected [PAD] first"]
