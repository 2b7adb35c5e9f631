"""Texts as words: the tokens that a vocabulary counts, and by which texts are compared."""

from __future__ import annotations

import re
import unicodedata
from typing import Iterator

_MARKS = "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u0670\u06d6-\u06ed"
_INDIC = "\u0900-\u0963\u0966-\u0dff"
_UNSPACED = (  # scripts that put no space between words: a character is a token
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003134f"
)
_TOKEN = re.compile(
    rf"[{_UNSPACED}]"
    r"|n't\b|'(?:s|m|d|re|ve|ll)\b"
    rf"|(?:(?![{_UNSPACED}])[\w{_MARKS}{_INDIC}])+?(?=n't\b)"
    rf"|(?:(?![{_UNSPACED}])[\w{_MARKS}{_INDIC}])+"
    r"|[^\w\s]"
)
_LINE_BREAK = re.compile(r"<br\s*/?>")


def tokens(text: str) -> Iterator[str]:
    """The tokens of a text: lower-case words and single signs, as the Penn Treebank parts them.

    "It isn't Bob's!" gives it, is, n't, bob, 's, !. Text that is parted already stays as it is.
    HTML's ``<br>`` counts as a space. Composed and decomposed characters are the same.
    """
    plain = unicodedata.normalize("NFC", text).lower().replace("\u2019", "'")
    return (found[0] for found in _TOKEN.finditer(_LINE_BREAK.sub(" ", plain)))
