"""What stands in a cell of a table: a number, or something that only looks like one."""

from __future__ import annotations

import re
from typing import Sequence

COMMA = ","
BLANKS = " \t\r\n"  # around a number; others, such as U+00A0, are a fault
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+")
POINT_OF_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
# 1,234.5 or 1.234,5 or 1 234,5 or 1'234.5: two kinds of marks, or one that comes again
_MARKED = re.compile(
    r"[+-]?\d{1,3}(?:(?:,\d{3})+(?:\.\d*)?|(?:\.\d{3})+(?:,\d*)?"
    r"|(?:[ \u00a0\u202f'\u2019]\d{3})+(?:[.,]\d*)?)"
)
_WITH_UNIT = re.compile(
    rf"[$€£¥]\s?{NUMBER.pattern}|{NUMBER.pattern}\s?(?:[%$€£¥°‰]|[A-Za-zµ°][A-Za-z/²³]{{0,5}})"
)
_MINUSES = "\u2212\u2012\u2013\u2014\ufe63\uff0d"
_MINUSES_SET = frozenset(_MINUSES)
_HEXADECIMAL = re.compile(r"[+-]?0[xX][0-9a-fA-F]+")
_NO_VALUE = frozenset(
    ("", "n/a", "na", "#n/a", "<na>", "nan", "null", "none", "nil", "nd", "-", "--", "?", ".",
     "missing", "n.a.", "k.a.")
)  # fmt: skip


def is_no_value(cell: str) -> bool:
    """Whether ``cell`` is empty, or one of the words for a value that is missing."""
    return cell.strip().lower() in _NO_VALUE


# A number as people write it: a sign of money or of percent, marks between thousands.
_WRITTEN = {
    mark: re.compile(
        rf"(?P<sign>[+-]?)[$€£¥]?\s?(?P<inner>[+-]?)(?P<digits>\d{{1,3}}(?:(?P<mark>[{between}])\d{{3}})"
        rf"(?:(?P=mark)\d{{3}})*(?:{mark}\d*)?|\d+(?:{mark}\d*)?(?:[eE][+-]?\d+)?"
        rf"|{mark}\d+(?:[eE][+-]?\d+)?)\s?[%$€£¥]?"
    )
    for mark, between in ((r"\.", ", \u00a0\u202f'\u2019"), (",", ". \u00a0\u202f'\u2019"))
}


def number_of(cell: str, decimal: str = ".") -> float | None:
    """The number that ``cell`` writes, ``1,234.5``, ``$1,200``, ``12 %``, ``(3)`` for -3; with
    ``decimal`` a comma, ``1.234,5``. None where it is none; infinite beyond what a float holds.
    """
    cell = cell.strip()
    if cell[:1] == "(" and cell[-1:] == ")":
        cell = f"-{cell[1:-1]}"
    if cell[:1] in _MINUSES_SET:
        cell = f"-{cell[1:]}"
    found = _WRITTEN[r"\." if decimal == "." else ","].fullmatch(cell)
    if found is None or (found["sign"] and found["inner"]):
        return None
    digits = found["digits"]
    if found["mark"]:
        digits = digits.replace(found["mark"], "")
    return float(found["sign"] + found["inner"] + digits.replace(",", "."))


def is_number(cell: str, decimal: str = ".") -> bool:
    """Whether ``cell`` is a finite decimal number, with a comma in it where ``decimal`` is one."""
    cell = cell.strip(BLANKS)
    if NUMBER.fullmatch(cell):
        return decimal == "." or "." not in cell
    return decimal == COMMA and DECIMAL_COMMA.fullmatch(cell) is not None


def has_thousands(cell: str) -> bool:
    """Whether ``cell``, which is no number as it stands, is one with marks between thousands."""
    return _MARKED.fullmatch(cell) is not None


def has_unit(cell: str) -> bool:
    """Whether ``cell`` is a number with a sign or a unit, such as ``5 %``, ``$5`` or ``5 cm``."""
    return _WITH_UNIT.fullmatch(cell) is not None


def is_unsigned(cell: str) -> bool:
    """Whether ``cell`` is a number without a sign, with a point or a comma before decimals."""
    return cell[:1] not in ("+", "-") and (is_number(cell) or is_number(cell, COMMA))


def has_other_minus(cell: str) -> bool:
    """Whether ``cell`` is a number with another character than ``-`` for minus."""
    return cell != "" and cell[0] in _MINUSES and is_unsigned(cell[1:])


def is_in_brackets(cell: str) -> bool:
    """Whether ``cell`` is a number in brackets, as accountants write negative ones."""
    return cell[:1] == "(" and cell[-1:] == ")" and is_unsigned(cell[1:-1])


def is_hexadecimal(cell: str) -> bool:
    """Whether ``cell`` is a number such as ``0x1f``."""
    return _HEXADECIMAL.fullmatch(cell) is not None


def holds_blanks(cell: str) -> bool:
    """Whether ``cell`` is several numbers with blanks between them."""
    words = cell.split()
    return len(words) > 1 and all(map(is_number, words))


def is_like_number(cell: str, decimal: str) -> bool:
    """Whether ``cell`` is one or several numbers, however written: hardly a heading."""
    cell = cell.strip()
    otherwise = (has_thousands, holds_blanks, has_other_minus, is_in_brackets, is_hexadecimal)
    return is_number(cell, decimal) or any(is_so(cell) for is_so in otherwise)


def ranges(numbers: Sequence[int]) -> str:
    """``1,3-5`` of 1, 3, 4, 5."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)
