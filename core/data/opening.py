"""Open a file of a channel: detect its format from the first bytes, and decompress it."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Iterator

from ..runtime.errors import DataError

GZIP = b"\x1f\x8b"
HEAD_BYTES = 4096

_CSV_OF_A_SHEET = (
    "save the sheet as CSV (Save As: CSV UTF-8 in Excel, Text CSV in LibreOffice), or in Python: "
    'pandas.read_excel("…").to_csv("….csv", index=False)'
)
_UNPACK = "unpack it, and give what it holds"
# What a file begins with, what it is, and what to do with it.
_FOREIGN = (
    (b"PAR1", "Parquet", 'convert it: pandas.read_parquet("…").to_csv("….csv", index=False)'),
    (b"ARROW1", "Arrow, or Feather", "convert it: pandas.read_feather, then to_csv(index=False)"),
    (b"ORC", "ORC", "convert it: pandas.read_orc, then to_csv(index=False)"),
    (b"Obj\x01", "Avro", "convert it to CSV or JSON lines"),
    (b"\x89HDF\r\n", "HDF5", "convert it: pandas.read_hdf, then to_csv(index=False)"),
    (b"SQLite format 3\0", "an SQLite database",
     'export the table: sqlite3 -header -csv FILE "SELECT * FROM …" > FILE.csv'),
    (b"%PDF", "a PDF document", "export the table that it shows from where it was made, as CSV"),
    (b"{\\rtf", "a document in RTF", "save it as plain text"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook or Office document (.xls, .doc)",
     _CSV_OF_A_SHEET),
    (b"version https://git-lfs.github.com/spec/", "a pointer of Git LFS, and not the data itself",
     "fetch the data: git lfs pull"),
    (b"BZh", "packed with bzip2", "unpack it: bunzip2 FILE"),
    (b"\xfd7zXZ\0", "packed with xz", "unpack it: unxz FILE"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it: unzstd FILE"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\x89PNG\r\n", "a PNG image", "give a table or texts"),
    (b"\xff\xd8\xff", "a JPEG image", "give a table or texts"),
    (b"GIF8", "a GIF image", "give a table or texts"),
    (b"version https://git-lfs", "a Git LFS pointer in place of the file",
     "`git lfs pull` fetches the file itself"),
    (b"\x93NUMPY", "an array of numpy (npy)", "name it .npy where such arrays are read"),
    (b"\x0a\x23\xd7\xce", "RecordIO", "name it .rec where RecordIO is read"),
    (b"\x80\x04\x95", "a pickle of Python, which is never loaded", "save it as CSV"),
    (b"\x80\x05\x95", "a pickle of Python, which is never loaded", "save it as CSV"),
)  # fmt: skip
_WEB = (b"<!doctype html", b"<html", b"<head", b"<table", b"<body")
_OFFICE = {
    "xl/": ("an Excel workbook (.xlsx)", _CSV_OF_A_SHEET),
    "word/": ("a Word document (.docx)", "save it as plain text"),
    "ppt/": ("a PowerPoint presentation (.pptx)", "give a table or texts"),
    "content.xml": ("an OpenDocument text or drawing (.odt, .odg)", "save it as plain text"),
}


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """``path`` for reading, decompressed if it is gzip, whatever its name; faults become DataError,
    and so does a name that ends in ``.gz`` where it is not.
    """
    try:
        packed = is_packed(path)
        if path.suffix == ".gz" and not packed and path.stat().st_size:
            raise DataError(
                f"{path}: its name ends in .gz, but it is not packed with gzip: rename it without "
                ".gz, or download it again"
            )
        with gzip.open(path) if packed else path.open("rb") as stream:
            yield stream  # type: ignore[misc, unused-ignore]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the compressed file is damaged or cut short: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def is_packed(path: Path) -> bool:
    """Whether the file begins as gzip does."""
    with path.open("rb") as stream:
        return stream.read(len(GZIP)) == GZIP


def check_is_text(path: Path, head: bytes) -> None:
    """Raises DataError where ``head``, the first bytes of ``path``, are those of no text: what the
    file is, and what to do with it.
    """
    found = _foreign(path, head)
    if found:
        raise DataError(f"{path}: is {found[0]}, expected text such as CSV: {found[1]}")


def _foreign(path: Path, head: bytes) -> tuple[str, str] | None:
    for start, what, advice in _FOREIGN:
        if head.startswith(start):
            return what, advice
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if head[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_WEB):
        return (
            "an HTML page",
            "download the data itself, not the page about it; a table in the page: "
            "pandas.read_html, then to_csv(index=False)",
        )
    if start.startswith(b"<?xml"):
        return "an XML document", "export it as CSV from where it was made"
    return None


def _start_of(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as stream:
        return stream.read(HEAD_BYTES).strip()


def _archive(path: Path) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            kind = _start_of(archive, "mimetype") if "mimetype" in names else b""
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError):
        return "a zip archive that is damaged or cut short", "download it again"
    if kind.endswith(b".spreadsheet"):
        return "an OpenDocument spreadsheet (.ods)", _CSV_OF_A_SHEET
    for start, found in _OFFICE.items():
        if any(name.startswith(start) for name in names):
            return found
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of arrays of numpy (npz)", "name it .npz where such arrays are read"
    return "a zip archive", _UNPACK
