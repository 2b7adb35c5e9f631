"""Texts as the pieces of words that BERT reads: lower-case WordPiece, by a vocabulary of its own.

J. Devlin et al., "BERT: pre-training of deep bidirectional transformers", arXiv:1810.04805; the
rules are those of the authors' own ``tokenization.py`` for their uncased models.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any, Iterator, Sequence

PADDING, UNKNOWN, BEGIN, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
SPECIAL = (PADDING, UNKNOWN, BEGIN, END, "[MASK]")
LONGEST_WORD = 100  # characters; a longer word is unknown
READ = 1_000  # characters for each id: what is beyond is not looked at
CONTINUED = "##"  # what a piece begins with that begins no word
REMEMBERED = 100_000  # words

_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def vocabulary_faults(pieces: Any) -> list[str]:
    """What keeps ``pieces`` from being a vocabulary, in words: the piece of each id."""
    if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
        return ["expected a list of pieces of words"]
    if len(set(pieces)) < len(pieces):
        return ["a piece stands in it twice"]
    missing = [name for name in (PADDING, UNKNOWN, BEGIN, END) if name not in pieces]
    if missing:
        return [f"{', '.join(missing)} missing, which BERT's vocabularies hold"]
    return [] if pieces[0] == PADDING else [f"expected {PADDING} first"]


class WordPiece:
    """Token ids of texts by ``pieces``, the piece of each id; of a text at most ``max_length`` ids,
    those of [CLS] and [SEP] among them.
    """

    def __init__(self, pieces: Sequence[str], max_length: int) -> None:
        self.pieces = pieces
        self.max_length = max_length
        self._ids = {piece: number for number, piece in enumerate(pieces)}
        self._unknown = self._ids[UNKNOWN]
        self._word = lru_cache(REMEMBERED)(self._split)

    def __call__(self, text: str) -> tuple[list[int], bool]:
        """The ids of ``text``, [CLS] first and [SEP] last, and whether the text was cut."""
        room, most = self.max_length - 2, self.max_length * READ
        ids: list[int] = []
        for word in words(text[:most]):
            # A long word is not remembered: 100,000 of them would fill the memory.
            ids += self._word(word) if len(word) <= LONGEST_WORD else (self._unknown,)
            if len(ids) > room:
                break
        cut = len(ids) > room or len(text) > most
        return [self._ids[BEGIN], *ids[:room], self._ids[END]], cut

    def _split(self, word: str) -> tuple[int, ...]:
        """The longest pieces from left to right; the unknown one where they make another word."""
        ids, start, prefix = [], 0, ""
        while start < len(word):
            for end in range(len(word), start, -1):
                number = self._ids.get(prefix + word[start:end])
                if number is not None:
                    break
            else:
                return (self._unknown,)
            ids.append(number)
            start, prefix = end, CONTINUED
        return tuple(ids)


def words(text: str) -> Iterator[str]:
    """Lower-case words without accents, single signs and single ideographs, as they come.

    A long text is read no further than it is asked for.
    """
    for start in _parts(text):
        yield from _words(start)


def _parts(text: str) -> Iterator[str]:
    """``text`` in parts that end where a word ends."""
    size, start = 4096, 0
    while start < len(text):
        end = start + size
        while end < len(text) and not text[end].isspace():
            end += 1
        yield text[start:end]
        start = end


def _words(text: str) -> Iterator[str]:
    for spaced in "".join(map(_plain, text)).split():
        lower = unicodedata.normalize("NFD", spaced.lower())
        word = ""
        for sign in lower:
            if _is_mark(sign):
                continue
            if _stands_alone(sign):
                if word:
                    yield word
                word = ""
                yield sign
            else:
                word += sign
        if word:
            yield word


@lru_cache(65_536)
def _plain(sign: str) -> str:
    """A sign as it is; a space for any white space; nothing for what is not to be seen."""
    if sign in "\t\n\r" or unicodedata.category(sign) == "Zs":
        return " "
    if sign in "\0\ufffd" or unicodedata.category(sign) in ("Cc", "Cf"):
        return ""
    return f" {sign} " if _is_ideograph(ord(sign)) else sign


def _is_ideograph(code: int) -> bool:
    return code >= _IDEOGRAPHS[1][0] and any(low <= code <= high for low, high in _IDEOGRAPHS)


@lru_cache(65_536)
def _is_mark(sign: str) -> bool:
    return unicodedata.category(sign) == "Mn"


@lru_cache(65_536)
def _stands_alone(sign: str) -> bool:
    """Punctuation, and all of ASCII that is neither letter, digit nor space."""
    code = ord(sign)
    if code < 128:
        return not (sign.isalnum() or sign.isspace() or code < 32 or code == 127)
    return unicodedata.category(sign)[0] == "P"
