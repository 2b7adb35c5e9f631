"""Tokens, vocabulary, padding, and word vectors from files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from algoshelf.algorithms.text_classification.vocabulary import (
    SPECIAL,
    UNKNOWN,
    Encoder,
    TextDataset,
    gluonnlp,
    read_vectors,
    tokens,
)
from algoshelf.core import ArtifactError, DataError
from algoshelf.core.data.sequences import (
    BUCKET_GROWTH,
    BUCKETS,
    SHORTEST_BUCKET,
    bucket_lengths,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It isn't Bob's!", "it is n't bob 's !"),
        ("it is n't bob 's !", "it is n't bob 's !"),
        ("You\u2019ve won\u2019t", "you 've wo n't"),
        ("a<br />b<BR>c", "a b c"),
        ("Grüße, ÉLAN e\u0301lan", "grüße , élan élan"),
        ("你好 world", "你 好 world"),
        ("हिन्दी में", "हिन्दी में"),
        ("مَرْحَبًا", "مَرْحَبًا"),
        ("ok\U0001f600\U0001f600", "ok \U0001f600 \U0001f600"),
        ("<pad> <unk>", "< pad > < unk >"),
        ("snake_case 3.5", "snake_case 3 . 5"),
        (" \n\t\u00a0\u3000", ""),
        ("", ""),
    ],
)
def test_tokens(text: str, expected: str) -> None:
    assert list(tokens(text)) == expected.split()


@given(st.text())
def test_any_text_has_tokens_without_blanks_and_they_stay_as_they_are(text: str) -> None:
    found = list(tokens(text))
    assert all(token and not token.isspace() and " " not in token for token in found)
    assert not set(found) & set(SPECIAL)


TEXTS = ["a good film", "not a good film", "a bad film"]


def encoder(bigrams: bool = False, min_count: int = 1) -> Encoder:
    return Encoder.of(TEXTS, bigrams=bigrams, max_length=9, min_count=min_count, max_size=100)


def test_ids_are_by_count_and_alphabet() -> None:
    made = encoder()
    assert made.words() == [*SPECIAL, "a", "film", "good", "bad", "not"]
    assert made("a Film, unseen").tolist() == [2, 3, UNKNOWN, UNKNOWN]
    assert made("").tolist() == []
    assert encoder(min_count=2).words() == [*SPECIAL, "a", "film", "good"]
    assert Encoder(made.words(), bigrams=False, max_length=1)("film good").tolist() == [3]


def test_bigrams_are_a_set_of_what_is_known() -> None:
    made = encoder(bigrams=True)
    found = [made.words()[i] for i in made("good film , a good film of mine")]
    assert sorted(found) == ["a", "a good", "film", "good", "good film"]


@pytest.mark.parametrize("bigrams", [False, True])
def test_a_vocabulary_is_restored_from_its_words(bigrams: bool) -> None:
    made = encoder(bigrams)
    again = Encoder.from_words(made.words(), bigrams=bigrams, max_length=9)
    assert again.words() == made.words()
    for text in [*TEXTS, "film good unseen"]:
        np.testing.assert_array_equal(again(text), made(text))


@pytest.mark.parametrize(
    "words", [None, [], ["a", "b"], [*SPECIAL, 3], [*SPECIAL, "a", "a"], "<pad><unk>"]
)
def test_a_damaged_vocabulary_is_refused(words: object) -> None:
    with pytest.raises(ArtifactError, match="vocabulary"):
        Encoder.from_words(words, bigrams=False, max_length=9)


def test_buckets_are_those_of_gluonnlp() -> None:
    scheme = gluonnlp().data.ExpWidthBucket(BUCKET_GROWTH)
    for longest in (*range(1, 500), 4096, 99_999):
        keys = scheme(max(SHORTEST_BUCKET, longest), SHORTEST_BUCKET, BUCKETS)
        keys = np.unique([SHORTEST_BUCKET, *keys])
        lengths = np.unique([1, longest, *(keys[keys < longest]), *(keys[keys < longest] + 1)])
        expected = keys[np.searchsorted(keys, lengths)]
        assert bucket_lengths(lengths).tolist() == expected.tolist()


@given(st.lists(st.integers(0, 600), min_size=1, max_size=200))
def test_buckets_are_few_and_hold_what_is_put_in(lengths: list[int]) -> None:
    rounded = bucket_lengths(np.array(lengths))
    assert (rounded >= lengths).all()
    assert rounded.max() <= max(8, *lengths) + 1
    assert len(np.unique(rounded)) <= 9


def test_a_batch_is_padded_with_0_to_its_longest() -> None:
    made = encoder()
    ids = [made(text) for text in (*TEXTS, "", "film " * 40)]
    data = TextDataset(ids, np.arange(5, dtype=np.int32), ("x",) * 5, made)
    x, y = data.take(np.array([3, 1]))
    assert x.dtype == np.int32
    assert x.shape == (2, 8)
    assert y.tolist() == [3, 1]
    assert not x[0].any()
    assert x[1].tolist() == [6, 2, 4, 3, 0, 0, 0, 0]
    assert data.take(np.array([4, 0]))[0].shape[1] == data.lengths()[4] >= 9
    assert len(data.digest()) == 64


VECTORS = "the 1 2 3\nfilm 0.5 -1e-1 2\n. . . 7 8 9\nbad 4 5 6\nfilm 9 9 9\n"


@pytest.mark.parametrize("head", ["", "5 3\n"], ids=["glove", "fasttext"])
@pytest.mark.parametrize("name", ["vectors.txt", "vectors.txt.gz"])
def test_vectors_of_the_vocabulary_are_read(head: str, name: str, tmp_path: Path) -> None:
    content = (head + VECTORS).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    vectors, found = read_vectors(tmp_path / name, [*SPECIAL, "a", "film", "bad"])
    assert found.tolist() == [False, False, False, True, True]
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[3:], [[0.5, -0.1, 2], [4, 5, 6]])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("film 1 2 3\nbad 1 2\n", "v.txt: line 2: 2 numbers, where the first line has 3"),
        ("the 1 2 3\nfilm 1 x 3\n", "v.txt: line 2: could not convert string to float"),
        ("the 1 2 3\nfilm 1 nan 3\n", "v.txt: line 2: a number is not finite"),
        ("film\nbad\n", "v.txt: line 1: expected a word and its numbers"),
        ("the 1 2 3\n", "v.txt: contains no word of the training texts"),
        ("", "v.txt: contains no word of the training texts"),
    ],
)
def test_malformed_vectors_are_named_by_line(content: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text(content)
    with pytest.raises(DataError) as caught:
        read_vectors(tmp_path / "v.txt", [*SPECIAL, "film", "bad"])
    assert fault in str(caught.value)
