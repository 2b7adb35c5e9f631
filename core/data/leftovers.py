"""Files in a data folder that are not data (README, _SUCCESS, …): left out, and reported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterable

from . import reading

SHOWN = 4
# Hadoop and Spark read no name that begins with "_" or "." either: _SUCCESS, _committed_…, .x.crc.
_NO_DATA = re.compile(
    r"""[._~\#].*                                               # markers, hidden, locks
    | (readme|licen[cs]e|notice|changelog|copying|authors)([._-].*)?\.(md|txt|rst|html?|pdf)
    | readme | licen[cs]e | notice | changelog | copying | authors
    | (eh)?thumbs\.db | desktop\.ini | icon\r | __macosx
    | .*\.(crc|md5|sha1|sha224|sha256|sha384|sha512|asc|sig)    # checksums, signatures
    | (md5|sha\d*|check)sums?(\.txt)?
    | .*(~|\.bak|\.tmp|\.swp|\.part|\.crdownload)               # copies, unfinished
    """,
    re.VERBOSE | re.IGNORECASE,
)


def is_no_data(name: str) -> bool:
    """Whether a file or folder of this name is a marker, a note, a checksum or a leftover."""
    return _NO_DATA.fullmatch(name) is not None


def with_data(found: Iterable[Path], folder: Path) -> list[Path]:
    """Those of ``found``, what lies in ``folder``, that may be data; the others are said."""
    entries = list(found)
    kept = [entry for entry in entries if not is_no_data(entry.name)]
    say_left_out(folder, [entry.name for entry in entries if is_no_data(entry.name)])
    return kept


def say_left_out(folder: Path, names: Iterable[str], why: str = "which are no data") -> None:
    """One line on the files of ``folder`` that are not read; hidden ones go without saying."""
    left = sorted(name for name in names if not name.startswith("."))
    if left:
        shown = ", ".join(left[:SHOWN]) + (f" and {len(left) - SHOWN:,} more" * (len(left) > SHOWN))
        files = "1 file" if len(left) == 1 else f"{len(left):,} files"
        reading.note(f"{files} left out, {why}: {shown}", folder)
