"""Pictures that nobody should send, and what opening them takes.

    python -m tests.core.data.hostile_pictures [COUNT]

opens COUNT of them (2500), and prints the ones that took most memory and time.
"""

from __future__ import annotations

import ctypes
import io
import itertools
import random
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Callable, Iterator

import numpy as np
from algoshelf.core import PayloadError
from algoshelf.core.data import images
from PIL import Image

Case = tuple[str, bytes]


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)  # type: ignore[arg-type]
    return stream.getvalue()


# PNG


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int,
    height: int,
    depth: int,
    colour: int,
    pixels: bytes,
    *,
    before: bytes = b"",
    after: bytes = b"",
    interlaced: bool = False,
    pieces: int = 1,
) -> bytes:
    """``pixels`` are what an IDAT holds, compressed; divided among ``pieces`` of them."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    step = max(1, -(-len(pixels) // pieces))
    data = b"".join(
        chunk(b"IDAT", pixels[start : start + step]) for start in range(0, len(pixels), step)
    )
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + data + after + chunk(b"IEND", b"")


CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def flat_png(width: int, height: int, colour: int, depth: int = 8, **options: object) -> bytes:
    """A valid one that is all the same, in a few bytes."""
    row = 9 + -(-width * CHANNELS[colour] * depth // 8)  # room for the rows of seven passes
    deflate = zlib.compressobj(9)
    block = bytes(min(row * height, 2**24))
    left, found = row * height, []
    while left:
        found.append(deflate.compress(block[: min(left, len(block))]))
        left -= min(left, len(block))
    pixels = b"".join(found) + deflate.flush()
    return png(width, height, depth, colour, pixels, **options)  # type: ignore[arg-type]


def exif_bomb(entries: int = 60_000, tail: int = 2_000_000) -> bytes:
    """Each of its tags claims all of the data."""
    tags = b"".join(struct.pack("<HHII", number, 7, tail, 8) for number in range(entries))
    return b"II*\0" + struct.pack("<IH", 8, entries) + tags + bytes(tail)


def pngs() -> Iterator[Case]:
    palette = chunk(b"PLTE", bytes(768))
    for width, height in (
        (1, 50_000_000),
        (50_000_000, 1),
        (1_900_000, 1),
        (32_767, 1),
        (1, 300),
        (7071, 7071),
        (32_767, 1525),
        (1000, 32_767),
        (5000, 5000),
    ):
        for colour in (0, 6) if max(width, height) > 10**6 else CHANNELS:
            for depth in (1, 8, 16) if colour == 0 else (8,):
                before = palette if colour == 3 else b""
                yield (
                    f"PNG {width}x{height} colour {colour} depth {depth}",
                    flat_png(width, height, colour, depth, before=before),
                )
    # the largest of each mode that the bounds let pass, and a little more
    for colour, depth, key in (
        (0, 8, False),
        (0, 1, False),
        (0, 16, False),
        (2, 8, False),
        (3, 8, False),
        (4, 8, False),
        (6, 8, False),
        (0, 8, True),
        (2, 8, True),
        (3, 8, True),
        (2, 16, False),
        (6, 16, False),
    ):
        mode = {1: "1", 16: "I;16"}.get(depth, "L") if colour == 0 else images._MODES[colour]
        each = images._WORK[mode + "T" * key]
        for bytes_a_pixel in each:
            for more in (0.83, 0.99, 1.01):
                side = int((min(images.MAX_MEMORY / bytes_a_pixel, 5e7) * more) ** 0.5)
                before = palette if colour == 3 else b""
                if key:
                    before += chunk(b"tRNS", bytes({0: 2, 2: 6, 3: 256}[colour]))
                for interlaced in (False, True):
                    yield (
                        f"PNG {side}x{side} {mode}{'T' * key} {depth} interlaced {interlaced}",
                        flat_png(side, side, colour, depth, before=before, interlaced=interlaced),
                    )
    tiny = zlib.compress(b"\0\0")
    bomb = zlib.compress(bytes(100_000_000), 9)
    for kind, data in (
        (b"zTXt", b"k\0\0" + bomb),
        (b"iTXt", b"k\0\1\0\0\0" + bomb),
        (b"iCCP", b"p\0\0" + bomb),
        (b"eXIf", exif_bomb()),
        (b"eXIf", exif_bomb(5, 10)),
        (b"tEXt", b"k\0" + b"x" * 5_000_000),
        (b"zTXt", b"Raw profile type exif\0\0" + bomb),
        (b"acTL", struct.pack(">II", 2**31 - 1, 0)),
        (b"fcTL", bytes(26)),
        (b"fdAT", bytes(100)),
        (b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 6, 0, 0, 0)),
        (b"PLTE", bytes(3 * 10_000)),
        (b"tRNS", bytes(10**6)),
        (b"ABCD", bytes(99)),
    ):
        for count in (1, 20):
            name = kind.decode()
            yield (
                f"PNG {count} {name} before",
                png(1, 1, 8, 0, tiny, before=chunk(kind, data) * count),
            )
            yield (
                f"PNG {count} {name} after",
                png(1, 1, 8, 0, tiny, after=chunk(kind, data) * count),
            )
    for count in (60_000, 500_000):
        for kind in (b"tEXt", b"IDAT", b"abCd"):
            yield (
                f"PNG {count} empty {kind.decode()}",
                png(1, 1, 8, 0, tiny, before=chunk(kind, b"") * count),
            )
    noise = zlib.compress(random.Random(0).randbytes(3_000_000))
    for pieces in (1, 60_000, 70_000):
        yield f"PNG noise in {pieces} IDAT", png(1000, 999, 8, 2, noise, pieces=pieces)
    yield "PNG more data than pixels", png(10, 10, 8, 0, bomb)


# JPEG


def segments(body: bytes) -> tuple[list[bytes], bytes]:
    """What comes before the first scan, a segment each; and from the first scan on."""
    at, found = 2, []
    while body[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(body[at + 2 : at + 4], "big")
        found.append(body[at:end])
        at = end
    return found, body[at:]


def resized_jpeg(body: bytes, width: int, height: int, sampling: int | None = None) -> bytes:
    """Another size in the frame: the scans are far too short for it, which libjpeg fills up."""
    parts, scans = segments(body)
    for index, part in enumerate(parts):
        if part[1] in (0xC0, 0xC1, 0xC2):
            head = part[:5] + struct.pack(">HH", height, width) + part[9:]
            if sampling is not None:
                head = head[:11] + bytes([sampling]) + head[12:]
            parts[index] = head
    return b"\xff\xd8" + b"".join(parts) + scans


def repeated_scan(body: bytes, count: int) -> bytes:
    """A progressive one whose last scan comes again and again."""
    at = body.rindex(b"\xff\xda")
    return body[:at] + body[at:-2] * count + body[-2:]


def jpegs() -> Iterator[Case]:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype("u1"))
    flat = Image.new("RGB", (64, 64), (90, 20, 200))
    kinds = {
        "baseline": {},
        "progressive": {"progressive": True},
        "optimized": {"optimize": True},
        "444": {"subsampling": 0},
        "progressive 444": {"progressive": True, "subsampling": 0},
        "restarts": {"restart_marker_blocks": 1},
    }
    for name, options in kinds.items():
        for picture in (photo, flat):
            for mode in ("RGB", "L", "CMYK"):
                body = encoded(picture.convert(mode), "JPEG", **options)
                for width, height in (
                    (65_535, 65_535),
                    (65_535, 1),
                    (32_767, 400),
                    (7000, 7000),
                    (6000, 5500),
                    (5000, 3300),
                    (3600, 3600),
                    (2047, 24_000),
                    (300, 30_000),
                    (1, 1),
                ):
                    yield f"JPEG {name} {mode} {width}x{height}", resized_jpeg(body, width, height)
                yield f"JPEG {name} {mode} 4x4", resized_jpeg(body, 4000, 4000, 0x44)
                yield f"JPEG {name} {mode} 0x0", resized_jpeg(body, 100, 100, 0)
    for size in (64, 500, 1000, 2000, 4000, 7000):
        big = encoded(Image.new("RGB", (size, size)), "JPEG", progressive=True)
        for count in (2, 50, 85, 101, 1000, 20_000):
            yield f"JPEG {size} scan x {count}", repeated_scan(big, count)
        hidden = repeated_scan(big, 5000)
        table = b"\xff\xc4" + struct.pack(">H", 4) + b"\xff\xd9"
        at = hidden.index(b"\xff\xda")
        yield f"JPEG {size} scans behind a false end", hidden[:at] + table + hidden[at:]
        second = hidden.index(b"\xff\xda", at + 2)
        yield f"JPEG {size} scans behind a false end 2", hidden[:second] + table + hidden[second:]
    body = encoded(photo, "JPEG")
    bomb = exif_bomb(5000, 1)[:65_000]
    for name, segment in {
        "exif": b"Exif\0\0" + bomb,
        "mpf": b"MPF\0" + bomb,
        "icc": b"ICC_PROFILE\0\x01\xff" + bytes(60_000),
        "photoshop": b"Photoshop 3.0\0" + b"8BIM" * 15_000,
        "xmp": b"http://ns.adobe.com/xap/1.0/\0" + b"<" * 60_000,
    }.items():
        for marker in (0xE1, 0xE2, 0xED, 0xFE):
            for count in (1, 80):
                whole = bytes([0xFF, marker]) + struct.pack(">H", len(segment) + 2) + segment
                yield f"JPEG {count} {name} in {marker:x}", body[:2] + whole * count + body[2:]
    for count in (60_000, 1_000_000):
        yield f"JPEG {count} comments", body[:2] + b"\xff\xfe\0\2" * count + body[2:]
        yield f"JPEG {count} fill bytes", body[:2] + b"\xff" * count + body[2:]
        yield f"JPEG {count} junk bytes", body[:2] + b"\0" * count + body[2:]
    for process in range(0xC0, 0xD0):
        yield f"JPEG SOF{process - 0xC0}", body.replace(b"\xff\xc0", bytes([0xFF, process]), 1)


# WebP


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    content = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(content)) + content


def extended(width: int, height: int, flags: int) -> tuple[bytes, bytes]:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes([flags, 0, 0, 0]) + sides


def webps() -> Iterator[Case]:
    for side in (64, 1000, 3030, 3100, 4000):
        for lossless in (False, True):
            body = encoded(
                Image.new("RGB", (side, side), (1, 2, 3)), "WEBP", lossless=lossless, method=0
            )
            yield f"WebP {side} lossless {lossless}", body
    flat = encoded(Image.new("RGBA", (64, 64), (1, 2, 3, 4)), "WEBP", lossless=True)
    for width, height in ((16_383, 16_383), (16_384, 1), (3000, 3000), (2**24, 2**24), (2**24, 1)):
        picture = flat[12:20], flat[20:]
        yield (
            f"WebP canvas {width}x{height}",
            riff(extended(width, height, 0x10), (picture[0][:4], picture[1])),
        )
        bits = (
            flat[:21]
            + struct.pack("<I", (width - 1) & 0x3FFF | ((height - 1) & 0x3FFF) << 14)
            + flat[25:]
        )
        yield f"WebP lossless {width}x{height}", bits
        frame = bytes(6) + (63).to_bytes(3, "little") * 2 + bytes(4) + flat[12:]
        for count in (1, 1000, 50_000):
            yield (
                f"WebP canvas {width}x{height} of {count} frames",
                riff(extended(width, height, 2), (b"ANIM", bytes(6)), *[(b"ANMF", frame)] * count),
            )
    frames = [Image.new("RGB", (1500, 1500), (i, 0, 0)) for i in range(20)]
    yield (
        "WebP animation",
        encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], method=0),
    )
    for kind in (b"EXIF", b"XMP ", b"ICCP", b"JUNK"):
        picture = (flat[12:16], flat[20:])
        yield (
            f"WebP large {kind.decode()}",
            riff(extended(64, 64, 0x3C), (kind, exif_bomb()), picture),
        )
        yield (
            f"WebP many {kind.decode()}",
            riff(extended(64, 64, 0x3C), *[(kind, b"")] * 300_000, picture),
        )


# Other kinds, and good ones with some bytes changed


def others() -> Iterator[Case]:
    picture = Image.new("RGB", (50, 40), (1, 2, 3))
    for form in (
        "GIF",
        "BMP",
        "TIFF",
        "ICO",
        "ICNS",
        "PPM",
        "TGA",
        "EPS",
        "PDF",
        "PCX",
        "SGI",
        "JPEG2000",
        "DDS",
        "IM",
        "MPO",
        "SPIDER",
    ):
        image = picture.convert("F") if form == "SPIDER" else picture
        image = image.resize((64, 64)) if form in ("ICNS", "ICO") else image
        yield f"{form}", encoded(image, form)
    yield (
        "PostScript",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n{1 1 pop pop} loop\n",
    )
    yield "SVG", b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><svg>&a;</svg>'
    frames = [picture.convert("P")] * 400
    yield "GIF animation", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    for head in (
        b"",
        b"\0",
        b"\x89PNG",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"RIFF\xff\xff\xff\xffWEBP",
        b"\xff\xd8" + b"\xff" * 2_000_000,
    ):
        yield f"only {head[:12]!r}", head


def templates() -> list[bytes]:
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 31, 3)).astype("u1"))
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        encoded(photo, "PNG", exif=exif),
        encoded(photo.convert("P"), "PNG", transparency=3),
        encoded(photo.convert("1"), "PNG"),
        encoded(photo.convert("LA"), "PNG"),
        encoded(photo, "JPEG", exif=exif),
        encoded(photo, "JPEG", progressive=True),
        encoded(photo.convert("CMYK"), "JPEG"),
        encoded(photo.convert("L"), "JPEG", progressive=True),
        encoded(photo, "WEBP", exif=exif),
        encoded(photo, "WEBP", lossless=True),
        encoded(photo.convert("RGBA"), "WEBP", save_all=True, append_images=[photo.rotate(90)]),
    ]


def with_checksums(body: bytes) -> bytes:
    """A PNG whose chunks have the checksums of what they hold, as far as they can be followed."""
    at, found = 8, body[:8]
    while at + 12 <= len(body):
        length = int.from_bytes(body[at : at + 4], "big")
        if at + 12 + length > len(body):
            break
        found += chunk(body[at + 4 : at + 8], body[at + 8 : at + 8 + length])
        at += 12 + length
    return found + body[at:]


def mutated(rng: random.Random, body: bytes, other: bytes) -> bytes:
    content = bytearray(body)
    for _ in range(rng.choice((1, 1, 2, 5, 30))):
        at = rng.randrange(len(content))
        if rng.random() < 0.3:
            at = min(at, rng.randrange(60))  # where the frame is
        how = rng.randrange(7)
        if how == 0:
            content[at] = rng.randrange(256)
        elif how == 1:
            content[at : at + 4] = struct.pack(
                ">I", rng.choice((0, 1, 2**16 - 1, 2**31 - 1, 2**32 - 1))
            )
        elif how == 2:
            del content[at : at + rng.randrange(1, 40)]
        elif how == 3:
            content[at:at] = rng.randbytes(rng.randrange(1, 40))
        elif how == 4:
            end = min(len(content), at + rng.randrange(1, 200))
            content[at:at] = bytes(content[at:end]) * rng.choice((1, 3, 50))
        elif how == 5:
            start = rng.randrange(len(other))
            content[at:at] = other[start : start + rng.randrange(1, 300)]
        else:
            del content[max(20, at) :]
        if not content:
            break
    changed = bytes(content)
    return with_checksums(changed) if changed[:4] == b"\x89PNG" else changed


def cases(count: int, seed: int = 1) -> Iterator[Case]:
    """``count`` of them: all that are built, and mutations up to that number."""
    made = 0
    for case in itertools.chain(pngs(), jpegs(), webps(), others()):
        if made == count:
            return
        made += 1
        yield case
    rng = random.Random(seed)
    pool = templates()
    while made < count:
        made += 1
        yield f"mutation {made}", mutated(rng, rng.choice(pool), rng.choice(pool))


# What opening them takes


def status(key: str) -> int:
    """A figure of this process in bytes, such as VmRSS, or VmHWM: the most since ``forget``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024


def forget() -> None:
    """Give back what is free, and count the most anew."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


WAYS: dict[str, Callable[[bytes], object]] = {
    "whole": images.decode,
    "grey": lambda body: images.decode(body, mode="L"),
    "scaled": lambda body: images.decode(body, mode="L", size=(28, 28)),
    "square": lambda body: images.decode(body, square=1024),
    "checked": images.check,
}


def measured(body: bytes, way: str) -> tuple[int, float, str]:
    """Bytes of memory, seconds of the processor, and what came of it."""
    forget()
    before, start = status("VmRSS"), time.process_time()
    try:
        WAYS[way](body)
        outcome = "read"
    except PayloadError as error:
        outcome = str(error)
    return status("VmHWM") - before, time.process_time() - start, outcome


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2500
    rows = []
    for name, body in cases(count):
        for way in WAYS:
            rows.append((*measured(body, way), name, way, len(body)))
    read = sum(row[2] == "read" for row in rows)
    print(f"{len(rows):,} openings of {count:,} pictures, {read:,} read, the others refused")
    for index, what in ((0, "memory"), (1, "time")):
        print(f"most {what}:")
        for memory, seconds, outcome, name, way, size in sorted(rows, key=lambda row: -row[index])[
            :25
        ]:
            print(
                f"  {memory / 2**20:7.1f} MiB {seconds:6.3f} s  {name} ({size:,} bytes), {way}: "
                f"{outcome[:70]}"
            )


if __name__ == "__main__":
    main()
