"""The opener of pictures: what it bounds, and that bounds are known before anything is decoded."""

from __future__ import annotations

import itertools
import random
import re
import struct
from typing import Callable

import numpy as np
import pytest
from algoshelf.core import MalformedPayloadError, PayloadError, UnfitPayloadError, codecs
from algoshelf.core.data import images
from PIL import Image

from tests.core.data import hostile_pictures as hostile
from tests.core.data.hostile_pictures import (
    chunk,
    encoded,
    flat_png,
    measured,
    mutated,
    repeated_scan,
)

MAX_EXTRA = 200 * 2**20
PHOTO = Image.fromarray(
    np.random.default_rng(3)
    .integers(0, 256, (30, 40, 3))
    .astype(np.uint8)
    .repeat(40, 0)
    .repeat(40, 1)
)


def photo(form: str, **options: object) -> bytes:
    return encoded(PHOTO, form, **options)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "1,900,000 wide": (lambda: flat_png(1_900_000, 1, 0), "sides of 32767 at most"),
    "50,000,000 high": (lambda: flat_png(1, 50_000_000, 0), "sides of 32767 at most"),
    "a line": (lambda: flat_png(30_000, 3, 2), "one side may be 100 times the other at most"),
    "too much memory": (lambda: flat_png(6900, 6900, 2), "MiB to decode, expected 176 MiB at most"),
    "too many pixels": (lambda: flat_png(7072, 7072, 0), "50013184 pixels, expected 50000000"),
    "a scan again and again": (
        lambda: repeated_scan(photo("JPEG", progressive=True), 5000),
        "1200 pixels in 50\\d\\d scans, expected 100 at most",
    ),
    "scans of a large one": (
        lambda: repeated_scan(
            encoded(Image.new("RGB", (4000, 4000)), "JPEG", progressive=True), 60
        ),
        "scans, expected 44 at most",
    ),
    "arithmetic coding": (
        lambda: photo("JPEG").replace(b"\xff\xc0", b"\xff\xc9", 1),
        "uses a JPEG process that is not supported .SOF9.: expected baseline or progressive",
    ),
    "a GIF": (lambda: photo("GIF"), "a file of another kind .GIF.: expected a whole PNG, JPEG or"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0", "another kind .PostScript."),
    "a TIFF": (lambda: photo("TIFF"), "another kind .TIFF."),
    "many chunks": (
        lambda: flat_png(1, 1, 0, before=chunk(b"tEXt", b"") * 70_000),
        "more than 65,536 chunks",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_beyond_the_bounds_is_refused_before_it_is_decoded(case: str) -> None:
    make, reason = REFUSED[case]
    body = make()
    for way in ("square", "scaled", "checked"):
        memory, _, outcome = measured(body, way)
        assert re.search(reason, outcome), outcome
        assert memory < 20 * 2**20 + len(body)


HARMLESS: dict[str, Callable[[], bytes]] = {
    "text": lambda: flat_png(
        20, 10, 0, before=chunk(b"zTXt", b"k\0\0" + hostile.zlib.compress(bytes(10**8), 9)) * 9
    ),
    "colour profile": lambda: flat_png(
        20, 10, 0, before=chunk(b"iCCP", b"p\0\0" + hostile.zlib.compress(bytes(10**8), 9))
    ),
    "EXIF whose tags all claim everything": lambda: flat_png(
        20, 10, 0, before=chunk(b"eXIf", hostile.exif_bomb())
    ),
    "a second header": lambda: flat_png(
        20, 10, 0, after=chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 6, 0, 0, 0))
    ),
    "EXIF in a WebP": lambda: hostile.riff(
        hostile.extended(20, 10, 8),
        (b"VP8L", encoded(Image.new("L", (20, 10)), "WEBP", lossless=True)[20:]),
        (b"EXIF", hostile.exif_bomb()),
    ),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_is_no_part_of_the_picture_is_not_read(case: str) -> None:
    body = HARMLESS[case]()
    for way in ("whole", "square", "checked"):
        memory, _, outcome = measured(body, way)
        assert outcome == "read"
        assert memory < 20 * 2**20 + 2 * len(body)
    assert codecs.decode_image(body).shape == (10, 20, 3)


def test_hostile_pictures_are_read_or_refused_within_the_memory() -> None:
    """Part of what ``python -m tests.core.data.hostile_pictures`` opens."""
    rng = random.Random(5)
    pool = hostile.templates()
    built = itertools.chain(
        hostile.webps(), hostile.others(), itertools.islice(hostile.jpegs(), 30)
    )
    cases = [*built, *(("", mutated(rng, rng.choice(pool), rng.choice(pool))) for _ in range(150))]
    for name, body in cases:
        for way in ("square", "scaled"):
            memory, _, _ = measured(body, way)
            assert memory < MAX_EXTRA, (name, way)


def test_no_decoder_sees_what_is_no_png_jpeg_or_webp() -> None:
    for name, body in hostile.others():
        if images.format_of(body):
            continue
        assert measured(body, "whole")[2].startswith("the body is"), name
    with pytest.raises(MalformedPayloadError, match="the body is no image: expected a whole PNG"):
        images.decode(b"a text")


@pytest.mark.parametrize("colour", [0, 2, 3, 4, 6])
def test_the_largest_that_are_read_stay_within_the_memory(colour: int) -> None:
    mode = images._MODES[colour]
    before = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    for way, each in zip(("square", "whole"), images._WORK[mode]):
        side = int((images.MAX_MEMORY * 0.83 / each) ** 0.5) if each > 3 else 7071
        memory, _, outcome = measured(flat_png(side, side, colour, before=before), way)
        assert outcome == "read"
        assert memory < MAX_EXTRA


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_square_is_the_middle_of_the_picture(form: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    body = photo(form, **options)
    whole = codecs.decode_image(body)
    assert whole.shape == (1200, 1600, 3)
    np.testing.assert_array_equal(images.decode(body, square=1200), whole[:, 200:1400])
    small = images.decode(body, square=300)
    assert small.shape == (300, 300, 3)
    blocks = small.reshape(30, 10, 30, 10, 3)[:, 3:7, :, 3:7].mean(axis=(1, 3))
    expected = whole[:, 200:1400].reshape(30, 40, 30, 40, 3)[:, 12:28, :, 12:28].mean(axis=(1, 3))
    np.testing.assert_allclose(blocks, expected, atol=3)


def test_a_large_jpeg_is_reduced_as_it_is_decoded() -> None:
    """A photograph of 48 megapixels, as telephones take them, in little memory."""
    body = encoded(Image.new("RGB", (8000, 6000), (10, 200, 30)), "JPEG")
    memory, _, outcome = measured(body, "square")
    assert outcome == "read"
    assert memory < 60 * 2**20
    assert np.abs(images.decode(body, square=1024).astype(int) - (10, 200, 30)).max() <= 2


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_that_of_pillow(form: str, orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "WEBP" else {"quality": 95} if form == "JPEG" else {}
    body = encoded(PHOTO.resize((60, 40)), form, exif=exif, **options)
    with Image.open(hostile.io.BytesIO(body)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(codecs.decode_image(body), expected)


@pytest.mark.parametrize("cut", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_picture_cut_short_is_found_without_decoding_it(form: str, cut: float) -> None:
    body = photo(form)
    images.check(body)
    with pytest.raises(PayloadError, match="corrupt or truncated"):
        images.check(body[: int(len(body) * cut)])


def test_a_jpeg_that_lacks_no_more_than_its_end_marker_is_judged_by_decoding_it() -> None:
    body = photo("JPEG")[:-2]
    try:
        images.decode(body)
    except MalformedPayloadError:
        with pytest.raises(MalformedPayloadError):
            images.check(body)
    else:
        images.check(body)


def test_a_transparent_picture_lies_on_the_ground_asked_for() -> None:
    body = encoded(Image.new("RGBA", (8, 8), (255, 255, 255, 0)), "PNG")
    assert images.decode(body, mode="L").max() == images.decode(body, mode="L").min() == 255
    assert images.decode(body, mode="L", ground="black").max() == 0


def test_kinds_are_told_by_content() -> None:
    assert images.kind_of(photo("PNG")[: images.HEAD_BYTES]) == images.PNG
    assert images.kind_of(photo("WEBP")[: images.HEAD_BYTES]) == images.WEBP
    assert images.kind_of(photo("GIF")) == "GIF"
    assert images.kind_of(b"\0\0\0\x18ftypheic") == "HEIC"
    assert images.kind_of(b"%PDF-1.7") == "PDF"
    assert images.kind_of(b"hello") == ""


def test_sides_are_bounded_in_every_format() -> None:
    for body in (
        flat_png(101, 1, 0),
        encoded(Image.new("L", (101, 1)), "JPEG"),
        encoded(Image.new("RGB", (101, 1)), "WEBP"),
    ):
        with pytest.raises(UnfitPayloadError, match="101 x 1 pixels: one side may be 100 times"):
            images.decode(body)
