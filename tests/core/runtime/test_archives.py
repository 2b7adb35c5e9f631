"""``core.runtime.archives``: what others packed is read within bounds, or refused."""

from __future__ import annotations

import gzip
import io
import random
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any, Callable

import pytest
from algoshelf.core.runtime.archives import Bounds, unpack
from algoshelf.core.runtime.errors import DataError

BOUNDS = Bounds(contents=10 * 2**20)
MEMORY = 96 * 2**20  # beyond what Python and its imports take


def member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def packed(path: Path, *members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT,
           **more: Any) -> Path:  # fmt: skip
    with tarfile.open(path, "w:gz", format=form, **more) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def everything(_: str) -> int:
    return 2**20


def test_what_is_wanted_is_written_and_all_files_are_named(tmp_path: Path) -> None:
    deep = "/".join(["a folder with a rather long name"] * 6) + "/é.txt"  # a PAX header each
    archive = packed(
        tmp_path / "a.tar.gz",
        member(".", type=tarfile.DIRTYPE),
        member("./one.txt", b"1" * 3_000_000),
        member("code", type=tarfile.DIRTYPE),
        member("code/two.py", b"2"),
        member(deep, b"3" * 700),
        member("last", b"4"),
    )
    target = tmp_path / "out"
    sizes = {"one.txt": 3_000_000, deep: 1_000}
    names = unpack(archive, target, lambda name: sizes.get(name, 0), BOUNDS)
    assert names == ["one.txt", "code/two.py", deep, "last"]
    written = {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()}
    assert written == {"one.txt": b"1" * 3_000_000, deep: b"3" * 700}


def long_name(path: Path) -> Path:
    """A GNU header that says that its file's name has 1.5 GB."""
    return _bomb(path, tarfile.GNUTYPE_LONGNAME)


def pax_header(path: Path) -> Path:
    return _bomb(path, tarfile.XHDTYPE)


def pax_global_header(path: Path) -> Path:
    return _bomb(path, tarfile.XGLTYPE)


def _bomb(path: Path, kind: bytes) -> Path:
    size = 1_500 * 2**20
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, size
    block = b"a" * 2**20
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(size // len(block)):
            stream.write(block)
    return path


def many_globals(path: Path) -> Path:
    headers = {f"key{number}": "x" for number in range(1_000)}
    return packed(path, member("a"), pax_headers=headers)


def many_headers(path: Path) -> Path:
    draw = random.Random(1)
    fields = [{"comment": draw.randbytes(5_000).hex()} for _ in range(2_000)]
    return packed(path, *(member(f"f{n}", pax_headers=each) for n, each in enumerate(fields)))


def holes(path: Path) -> Path:
    """A sparse file, as GNU tar packs it: a few bytes that say they are a terabyte."""
    fields = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1",
              "GNU.sparse.size": str(2**40), "GNU.sparse.name": "holes"}  # fmt: skip
    return packed(path, member("x", b"1", pax_headers=fields))


def cut_short(path: Path) -> Path:
    whole = packed(path, member("a", bytes(range(256)) * 4_000)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def damaged_header(path: Path) -> Path:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name in ("a", "b", "c"):
            info, content = member(name, b"x" * 40_000)
            archive.addfile(info, io.BytesIO(content))
    content = bytearray(plain.getvalue())
    at = bytes(content).index(b"b\0")
    content[at : at + 100] = b"?" * 100
    path.write_bytes(gzip.compress(bytes(content)))
    return path


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a long name": (long_name, "far too long"),
    "a PAX header": (pax_header, "far too long"),
    "a PAX header for all": (pax_global_header, "far too long"),
    "keywords for all": (many_globals, "over 100 keywords"),
    "headers": (many_headers, "bytes of headers"),
    "a sparse file": (holes, "a file with holes"),
    "zeros": (lambda p: packed(p, member("z", bytes(40 * 2**20))), "more than 10,485,760 bytes"),
    "entries": (lambda p: packed(p, *(member(str(n)) for n in range(10_001))), "10,000 entries"),
    "a link": (
        lambda p: packed(p, member("a", type=tarfile.SYMTYPE, linkname="/etc")),
        "'a' in it is neither a file nor a folder, but a link",
    ),
    "a hard link": (
        lambda p: packed(p, member("a"), member("b", type=tarfile.LNKTYPE, linkname="a")),
        "a link",
    ),
    "a device": (lambda p: packed(p, member("a", type=tarfile.CHRTYPE)), "a device"),
    "a pipe": (lambda p: packed(p, member("a", type=tarfile.FIFOTYPE)), "a device or a pipe"),
    "absolute": (lambda p: packed(p, member("/etc/x")), "leads out of the folder"),
    "out of it": (lambda p: packed(p, member("a/../../x")), "leads out of the folder"),
    "twice": (lambda p: packed(p, member("a"), member("./a")), "'a' is in it more than once"),
    "a name of many bytes": (lambda p: packed(p, member("x/" * 700)), "too long, with 1,399 bytes"),
    "a name of one part": (lambda p: packed(p, member("x" * 300)), "too long, with 300 bytes"),
    "a name for a terminal": (
        lambda p: packed(p, member("a\x1b[2J")),
        "cannot be the name of a file",
    ),
    "no UTF-8": (
        lambda p: packed(p, member("a\udcff"), form=tarfile.GNU_FORMAT),
        "is not UTF-8",
    ),
    "more than is wanted": (lambda p: packed(p, member("a", b"1" * (2**20 + 1))), "its a has 1,04"),
    "cut short": (cut_short, "is damaged"),
    "a damaged header": (damaged_header, "there is data after its end"),
    "no archive": (
        lambda p: (p.write_bytes(b"nothing packed"), p)[1],
        "is not a gzipped tar archive",
    ),
    "no file": (lambda p: p, "No such file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_good_archive_is_refused(tmp_path: Path, case: str) -> None:
    make, reason = REFUSED[case]
    archive = make(tmp_path / "a.tar.gz")
    with pytest.raises(DataError, match=r"^s3://b/model\.tar\.gz: ") as refused:
        unpack(archive, tmp_path / "out", everything, BOUNDS, "s3://b/model.tar.gz")
    assert reason in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("bomb", [long_name, pax_header, pax_global_header])
def test_a_bomb_takes_little_memory(tmp_path: Path, bomb: Callable[[Path], Path]) -> None:
    """Measured in a process of its own; ``tarfile`` alone takes the 1.5 GB."""
    archive = bomb(tmp_path / "bomb.tar.gz")
    code = f"""
import sys
from pathlib import Path
from algoshelf.core.runtime.errors import DataError
from algoshelf.core.runtime.archives import Bounds, unpack
def peak():  # ru_maxrss would begin with what the tests hold
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024
before = peak()
try:
    unpack(Path(sys.argv[1]), Path(sys.argv[2]), lambda name: 1, Bounds(contents=2**30))
except DataError:
    sys.exit(peak() - before > {MEMORY})
sys.exit("accepted")
"""
    done = subprocess.run([sys.executable, "-c", code, str(archive), str(tmp_path)], check=False)
    assert done.returncode == 0


def test_a_file_that_is_wanted_is_no_bomb_either(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.tar.gz", member("a", bytes(40 * 2**20)))
    with pytest.raises(DataError, match="expands to far more than an archive of its size should"):
        unpack(archive, tmp_path / "out", lambda name: 2**30, Bounds(contents=2**30))


def test_random_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    """Of a small archive every byte in turn is another; nothing but DataError comes of it."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info, content = member("é" * 120, b"content", pax_headers={"comment": "x" * 50})
        archive.addfile(info, io.BytesIO(content))
    content = plain.getvalue()[: 5 * tarfile.BLOCKSIZE]
    path = tmp_path / "a.tar.gz"
    outcomes = set()
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 0x80 if at % 2 else 0x13
        path.write_bytes(gzip.compress(bytes(changed), 1))
        try:
            unpack(path, tmp_path / "out", everything, BOUNDS)
            outcomes.add("read")
        except DataError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
