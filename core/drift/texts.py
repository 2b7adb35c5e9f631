"""Texts: how long they are, unknown words, words that come or go or get other answers, and a
classifier that tries to tell both sides apart.
"""

from __future__ import annotations

from collections import Counter
from typing import AbstractSet, Iterator, Sequence

import numpy as np

from ..data.tokens import tokens
from ..runtime.types import Array
from .changes import INPUT, Change
from .columns import compared
from .distributions import hypergeometric_two_sided
from .two_samples import Tested, separability

MAX_TOKENS = 2000  # of a text
# A word counts that stands in so many texts of both sides together.
FEWEST_TEXTS = 10
MAX_FEATURES = 4000
MAX_CLASSIFIED = 1000  # texts of a side
CLEAR = 0.05  # below which another word is named, too
EXACT = 200  # words whose probability is computed, those that changed the most
SHOWN = 5


class Words:
    """Both sides' texts as the sets of their words."""

    def __init__(self, first: Sequence[str], second: Sequence[str]) -> None:
        self.sides = [
            [list(tokens(text))[:MAX_TOKENS] for text in side] for side in (first, second)
        ]
        self.sets = [[set(text) for text in side] for side in self.sides]
        self.counts = [Counter(word for text in side for word in text) for side in self.sets]
        both = self.counts[0] + self.counts[1]
        size = len(first) + len(second)
        kept = [
            (word, count)
            for word, count in both.most_common()
            if FEWEST_TEXTS <= count <= size - FEWEST_TEXTS and any(map(str.isalnum, word))
        ]
        self.known = [word for word, _ in kept]

    def matrix(self, side: int, chosen: Array) -> Array:
        """Texts as rows (N, V) of length 1: which of the known words they have."""
        place = {word: i for i, word in enumerate(self.known[:MAX_FEATURES])}
        found = np.zeros((len(chosen), len(place)))
        for row, index in enumerate(chosen.tolist()):
            found[row, [place[word] for word in self.sets[side][index] if word in place]] = 1
        norms = np.sqrt(found.sum(axis=1, keepdims=True))
        rows: Array = found / np.maximum(norms, 1)
        return rows


def changes(
    first: Sequence[str],
    second: Sequence[str],
    labels: tuple[Sequence[str | None], Sequence[str | None]],
    vocabulary: AbstractSet[str],
    rng: np.random.Generator,
) -> tuple[list[Change], Array]:
    """The tests, and how much each text of ``second`` looks like those of its side (N,): a rank
    from 0 to 1, NaN where it was not looked at.
    """
    words = Words(first, second)
    found = list(_lengths(words))
    if vocabulary:
        found += _unknown(words, vocabulary)
    telling, scores = _telling_apart(words, rng)
    found += telling
    if words.known:
        found.append(_frequencies(words))
        found += _answers(words, labels)
    return found, scores


def _lengths(words: Words) -> Iterator[Change]:
    lengths = [[float(len(text)) for text in side] for side in words.sides]
    yield from compared(INPUT, "length in words", *lengths)


def _unknown(words: Words, vocabulary: AbstractSet[str]) -> Iterator[Change]:
    """The share of words that the model does not know, and which."""
    shares = [
        [sum(word not in vocabulary for word in text) / max(1, len(text)) for text in side]
        for side in words.sides
    ]
    new = Counter(
        word
        for text in words.sets[1]
        for word in text
        if word not in vocabulary and not words.counts[0][word]
    )
    listed = ", ".join(word for word, _ in new.most_common(SHOWN))
    wholes = [
        sum(word not in vocabulary for text in side for word in text) / max(1, sum(map(len, side)))
        for side in words.sides
    ]
    for each in compared(INPUT, "unknown words", *shares):
        yield Change(
            INPUT, each.subject, each.test, each.measure, each.effect, each.p,
            f"{wholes[0]:.1%} of all words", f"{wholes[1]:.1%} of all words", each.psi,
            f"new: {listed}" if listed else "",
        )  # fmt: skip


def _telling_apart(words: Words, rng: np.random.Generator) -> tuple[list[Change], Array]:
    scores = np.full(len(words.sets[1]), np.nan)
    chosen = [np.sort(rng.permutation(len(side))[:MAX_CLASSIFIED]) for side in words.sets]
    if not words.known or min(map(len, chosen)) < 4:
        return [], scores
    rows = [words.matrix(side, chosen[side]) for side in (0, 1)]
    tested, _, second = separability(rows[0], rows[1], rng)
    scores[chosen[1]] = np.argsort(np.argsort(second)) / max(1, len(second) - 1)
    area = (1 + tested.effect) / 2
    told = Change.of(
        tested, part=INPUT, subject="texts", test="two-sample classifier", measure="2 AUC - 1",
        baseline="AUC 0.5 if alike", current=f"AUC {area:.3f}",
    )  # fmt: skip
    return [told], scores


def _frequencies(words: Words) -> Change:
    """The words that stand in more or fewer texts: one test of the one that changed the most."""
    sizes = [len(side) for side in words.sets]
    counts = [np.array([side[word] for word in words.known], float) for side in words.counts]
    tables = list(zip(words.known, *(c.astype(int).tolist() for c in counts)))
    return _most_changed(tables, sizes)


def _answers(
    words: Words, labels: tuple[Sequence[str | None], Sequence[str | None]]
) -> Iterator[Change]:
    """The words whose texts are answered otherwise than before, such as a word of new meaning.

    Only words that stand in FEWEST_TEXTS texts of each side have a say.
    """
    classes = sorted({label for side in labels for label in side if label is not None})
    if len(classes) < 2:
        return
    if len(classes) == 2:
        classes = classes[1:]
    answered = []
    for texts, side in zip(words.sets, labels):
        counts: Counter[tuple[str, str]] = Counter()
        for text, label in zip(texts, side):
            if label is not None:
                counts.update((word, label) for word in text)
        answered.append(counts)
    tests = []
    for word in words.known:
        wholes = [side[word] for side in words.counts]
        if min(wholes) < FEWEST_TEXTS:
            continue
        for name in classes:
            tests.append((word, name, [side[(word, name)] for side in answered], wholes))
    if not tests:
        return
    chances = [_exact(got, wholes) for _, _, got, wholes in tests]
    p = min(chances)
    word, name, got, wholes = tests[chances.index(p)]
    was, now = (count / whole for count, whole in zip(got, wholes))
    effect = abs(now - was) * wholes[1] / len(words.sets[1])
    yield Change.of(
        Tested(effect, min(1.0, p * len(tests))),
        part=INPUT, subject="answers to texts with a word", test="exact, of the most changed word",
        measure="moved", baseline=f"{word!r}: {was:.0%} {name}", current=f"{now:.0%} {name}",
    )  # fmt: skip


def _exact(got: Sequence[int], wholes: Sequence[int]) -> float:
    """Fisher's exact test: ``got`` of ``wholes`` on either side."""
    return hypergeometric_two_sided(got[1], wholes[1], sum(got), sum(wholes))


def _most_changed(tables: Sequence[tuple[str, int, int]], sizes: Sequence[int]) -> Change:
    """Of counts (word, of the first, of the second) that which changed the most, corrected for all
    by Bonferroni's rule.
    """
    differences = [second / sizes[1] - first / sizes[0] for _, first, second in tables]
    rarity = [(first + second) ** 0.5 for _, first, second in tables]
    order = sorted(range(len(tables)), key=lambda i: -abs(differences[i]) / rarity[i])
    looked = [(i, _exact(tables[i][1:], sizes)) for i in order[:EXACT]]
    looked.sort(key=lambda pair: pair[1])
    best, p = looked[0]
    word, first, second = tables[best]
    clear = [i for i, chance in looked if chance * len(tables) < CLEAR][1 : SHOWN + 1]
    others = ", ".join(f"{tables[i][0]!r} {differences[i]:+.1%}" for i in clear)
    return Change.of(
        Tested(abs(differences[best]), min(1.0, p * len(tables))),
        part=INPUT, subject="words", test="exact, of the most changed word", measure="moved",
        baseline=f"{word!r} in {first / sizes[0]:.1%} of the texts",
        current=f"{second / sizes[1]:.1%}",
        detail=f"also {others}" if others else "",
    )  # fmt: skip
