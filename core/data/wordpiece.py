"""Texts as the pieces of words that BERT reads: lower-case WordPiece, by a vocabulary of its own.

J. Devlin et al., "BERT: pre-training of deep bidirectional transformers", arXiv:1810.04805; the
rules are those of the authors' own ``tokenization.py`` for their uncased models, and where it
depends on Python's tables of Unicode, of the library ``tokenizers``, by which sentence-transformers
reads texts.
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
REMEMBERED, SHORT_WORD = 100_000, 40  # words, of so many characters at most
BLOCK = 4096  # characters that are read at once, and the rest of the word in which they end

# What is not yet assigned (Cn) is a sign: Python's tables of Unicode may be older than the text.
_UNSEEN = ("Cc", "Cf", "Cs", "Co")
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

    What a text spells out as "[SEP]" is text: nobody writes signs of the model's own.
    """

    def __init__(self, pieces: Sequence[str], max_length: int) -> None:
        self.pieces = pieces
        self.max_length = max_length
        self._ids = {piece: number for number, piece in enumerate(pieces)}
        self._unknown = self._ids[UNKNOWN]
        self._remembered = lru_cache(REMEMBERED)(self._of_word)

    def __call__(self, text: str) -> tuple[list[int], bool]:
        """The ids of ``text``, [CLS] first and [SEP] last, and whether the text was cut.

        A long text is read no further than there is room.
        """
        room, most = self.max_length - 2, self.max_length * READ
        ids: list[int] = []
        for word in _spaced(text[:most]):
            ids += (self._remembered if len(word) <= SHORT_WORD else self._of_word)(word)
            if len(ids) > room:
                break
        cut = len(ids) > room or len(text) > most
        return [self._ids[BEGIN], *ids[:room], self._ids[END]], cut

    def _of_word(self, word: str) -> tuple[int, ...]:
        return tuple(number for part in _parts_of(word) for number in self._pieces_of(part))

    def _pieces_of(self, word: str) -> list[int]:
        """The longest pieces from left to right; the unknown one where they make another word."""
        if len(word) > LONGEST_WORD:
            return [self._unknown]
        ids, start, prefix = [], 0, ""
        while start < len(word):
            for end in range(len(word), start, -1):
                number = self._ids.get(prefix + word[start:end])
                if number is not None:
                    break
            else:
                return [self._unknown]
            ids.append(number)
            start, prefix = end, CONTINUED
        return ids


def words(text: str) -> Iterator[str]:
    """Lower-case words without accents, single signs and single ideographs, as they come."""
    for spaced in _spaced(text):
        yield from _parts_of(spaced)


def _spaced(text: str) -> Iterator[str]:
    """What stands between spaces, and single ideographs, without what is not to be seen."""
    start = 0
    while start < len(text):
        end = start + BLOCK
        while end < len(text) and not text[end].isspace():
            end += 1
        block = text[start:end]
        if not (block.isascii() and block.isprintable()):
            block = "".join(map(_plain, block))
        yield from block.split()
        start = end


def _parts_of(word: str) -> Iterator[str]:
    """Lower-case words without accents and single signs, of what stands between spaces."""
    # Sign by sign, as the tokenizers of today do: as a word, a last sigma would become another.
    lower = unicodedata.normalize("NFD", word.replace("Σ", "σ").lower())
    start = 0
    plain = "".join(sign for sign in lower if not _is_mark(sign))
    for end, sign in enumerate(plain):
        if _stands_alone(sign):
            if start < end:
                yield plain[start:end]
            yield sign
            start = end + 1
    if start < len(plain):
        yield plain[start:]


@lru_cache(65_536)
def _plain(sign: str) -> str:
    """A sign as it is; a space for any white space; nothing for what is not to be seen."""
    if sign in "\t\n\r" or unicodedata.category(sign) == "Zs":
        return " "
    if sign in "\0\ufffd" or unicodedata.category(sign) in _UNSEEN:
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
