"""Pictures: the one place that opens them, for training, requests and transforms alike.

What a file holds, its content says and never its name: PNG, JPEG or WebP, and nothing else is ever
opened. Its frame is read here before any decoder sees it, so that what decoding takes is known and
bounded beforehand; what is no part of the picture (text, colour profiles, EXIF, previews, further
frames of a PNG) is not handed to a decoder at all.

Sources: PNG (W3C, third edition), 5 and 11; ITU-T T.81, annex B; RFC 9649 (WebP); Exif 2.32, 4.6.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, Tuple, Union

import numpy as np

from ..runtime import bounds
from ..runtime.errors import MalformedPayloadError, PayloadError, UnfitPayloadError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PillowImage

PNG, JPEG, WEBP = "PNG", "JPEG", "WebP"
LFS_POINTER, WEB_PAGE = "Git LFS pointer", "HTML"
HEAD_BYTES = 512  # by which ``kind_of`` tells a file

MAX_PIXELS = 50_000_000
MAX_SIDE = 32_767
MAX_ASPECT = 100  # the longer side, in shorter ones
MAX_MEMORY = 176 * 2**20  # bytes that decoding and converting one picture may take
MAX_PARTS = 2**16  # chunks of a PNG, segments of a JPEG
MAX_SCANS = 100  # of a progressive JPEG; encoders write about ten
MAX_BLOCKS = 2**24  # of 8 x 8 coefficients, summed over all scans

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4  # types of a tag's value
_MAX_TAGS = 1024

# Bytes that a pixel takes at the most while it is decoded, converted and scaled down; and where
# all of the picture is wanted. By the mode that Pillow reads it into; "T" stands behind one with a
# transparent colour or palette. Measured by tests/core/data/hostile_pictures.py.
_WORK = {
    "1": (3, 15), "L": (2, 15), "P": (6, 15), "RGB": (4, 15), "CMYK": (4, 15),
    "LA": (8, 17), "RGBA": (8, 17), "I;16": (17, 17),
    "1T": (14, 17), "LT": (14, 17), "PT": (14, 17), "RGBT": (17, 17),
    WEBP: (18, 24),
}  # fmt: skip
_SCALED_ROW = 4 * 1024  # and bytes that a row takes which is scaled in width, but not yet in height
# A JPEG is reduced while it is decoded, but never below this side: what is smaller keeps its
# pixels, and of what is larger, the network's input has far fewer.
_REDUCED = 1024

# What a picture of one colour takes at the most: tables, and of a JPEG about 10 bits a block.
_BLANK_BYTES, _BLANK_PIXELS = 1024, 16

Piece = Union[bytes, memoryview]


class Picture(NamedTuple):
    """What a file's frame says: ``body`` is what a decoder needs of it.

    ``mode`` is a key of _WORK; ``coefficients`` are bytes that a decoder holds besides the pixels;
    ``orientation`` is EXIF's, 1 to 8; ``ended`` says that the end of the picture is there.
    """

    format: str
    width: int
    height: int
    mode: str
    body: bytes
    orientation: int = 1
    coefficients: int = 0
    ended: bool = True


def format_of(head: bytes) -> str:
    """PNG, JPEG or WEBP by the first bytes of a file; an empty text for anything else."""
    if head.startswith(_PNG_SIGNATURE):
        return PNG
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    return WEBP if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else ""


_KINDS = (
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftyp", "video"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\x01\0", "ICO"),
    (0, b"8BPS", "PSD"),
    (0, b"%!PS", "PostScript"),
    (0, b"%PDF", "PDF"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"version https://git-lfs", LFS_POINTER),
)


def kind_of(head: bytes) -> str:
    """What a file is, by its first HEAD_BYTES; an empty text where they don't say."""
    found = format_of(head)
    if found:
        return found
    if head[:HEAD_BYTES].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return WEB_PAGE
    if b"<svg" in head[:HEAD_BYTES]:
        return "SVG"
    return next((kind for at, mark, kind in _KINDS if head[at:].startswith(mark)), "")


def decode(
    body: bytes,
    *,
    mode: str = "RGB",
    size: tuple[int, int] | None = None,
    square: int | None = None,
    max_pixels: int = MAX_PIXELS,
    ground: str = "white",
) -> NDArray[Any]:
    """The pixels of a PNG, JPEG or WebP: ``(H, W, 3) uint8`` for mode RGB, ``(H, W) uint8`` for L.

    The EXIF orientation is applied; what is transparent lies on ``ground``, by default on white as
    in a viewer; 16-bit grey is scaled to 8 bits; palettes, CMYK and 1-bit images are converted; an
    animation gives its first frame. With ``size`` (W, H) it is scaled to that, bilinear with
    antialiasing. With ``square`` it is its middle square, scaled down to that side where it is
    larger: this takes far less memory than the whole.

    Raises MalformedPayloadError (no PNG, JPEG or WebP, truncated, corrupt) and UnfitPayloadError:
    more than ``max_pixels``, a side beyond MAX_SIDE or MAX_ASPECT others, more scans or memory
    than are allowed; these are found before anything is decoded.
    """
    if mode not in ("RGB", "L"):
        raise ValueError(f"mode {mode!r}: expected 'RGB' or 'L'")
    picture = inspect(body, max_pixels=max_pixels)
    least = _least(size, square)
    _check_memory(picture, least)
    try:
        image = _opened(picture, least)
        side = min(image.size)
        if size is not None:
            width, height = size if picture.orientation < 5 else size[::-1]
            image = _scaled(image, (0, 0, *image.size), (width, height), ground)
        elif square is not None:
            left, top = (image.width - side) // 2, (image.height - side) // 2
            box = (left, top, left + side, top + side)
            image = _scaled(image, box, (min(side, square),) * 2, ground)
        else:
            image = _converted(image, ground)
        image = _turned(image.convert("RGB").convert(mode), picture.orientation)
        return np.array(image, np.uint8)
    except PayloadError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a corrupt file
        raise MalformedPayloadError(f"the image is corrupt or truncated: {error}") from error


def check(body: bytes) -> None:
    """Raises PayloadError where ``decode`` with a ``square`` will, as far as the frame tells.

    Bounds, checksums and the end are looked at, which takes a small part of the time of decoding;
    a picture whose end is missing is decoded, since some lack no more than that.
    """
    picture = inspect(body)
    _check_memory(picture, _least(None, _REDUCED))
    if not picture.ended:
        decode(body, square=_REDUCED)


def is_one_colour(pixels: NDArray[Any]) -> bool:
    """Whether a picture, (H, W), (C, H, W) or (H, W, C), has one colour throughout."""
    array = np.asarray(pixels)
    if array.ndim == 3:
        array = (
            array.reshape(-1, array.shape[2])
            if array.shape[2] in (1, 3, 4)
            else (array.reshape(array.shape[0], -1).T)
        )
    else:
        array = array.reshape(-1, 1)
    return bool(len(array)) and bool((array == array[0]).all())


def is_blank(body: bytes) -> bool:
    """Whether a file is a picture of one colour throughout.

    Only what is as short as one colour takes is decoded: all of a data set would take too long.
    """
    if not format_of(body[:HEAD_BYTES]):
        return False
    try:
        picture = inspect(body)
        most = _BLANK_BYTES + picture.width * picture.height // _BLANK_PIXELS
        return len(picture.body) <= most and is_one_colour(decode(body, square=_REDUCED))
    except PayloadError:
        return False


def inspect(body: bytes, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """What the frame of a picture says, within the bounds; raises PayloadError as ``decode``."""
    if not body:
        raise MalformedPayloadError("the body is empty: expected a PNG, JPEG or WebP image")
    readers = {PNG: _png, JPEG: _jpeg, WEBP: _webp}
    form = format_of(body[:HEAD_BYTES])
    if not form:
        raise MalformedPayloadError(f"the body is {refusal(body[:HEAD_BYTES])}")
    try:
        picture = readers[form](body)
    except (struct.error, IndexError):
        raise _corrupt(f"the {form} ends within its header") from None
    _check_sides(picture.width, picture.height, max_pixels)
    return picture


def is_foreign(head: bytes) -> bool:
    """Whether a file, by its first HEAD_BYTES, is a picture or the like that is never opened."""
    kind = kind_of(head)
    marked = kind in ("SVG", "GIF", "PDF", "PostScript", LFS_POINTER, WEB_PAGE)
    return marked or (b"\0" in head and kind not in ("", "ZIP", PNG, JPEG, WEBP))


def refusal(head: bytes, expected: str = "PNG, JPEG or WebP") -> str:
    """What a file is, by its first HEAD_BYTES, that is no picture of the kinds ``expected``."""
    kind = kind_of(head)
    if kind == LFS_POINTER:
        return f"a {kind} in place of the picture: `git lfs pull` fetches that"
    if kind == WEB_PAGE:
        return "a page of the web in place of the picture: download the picture itself"
    if kind == "SVG":
        return f"an SVG, a drawing and not pixels: expected a whole {expected}: export it as PNG"
    if not kind:
        return f"no image: expected a whole {expected}"
    return f"a file of another kind ({kind}): expected a whole {expected}: save it as PNG"


def _check_sides(width: int, height: int, max_pixels: int) -> None:
    if not (width and height):
        raise _corrupt(f"it has {width} x {height} pixels")
    if width * height > max_pixels:
        raise UnfitPayloadError(
            f"the image has {width} x {height} = {width * height} pixels, "
            f"expected {max_pixels} at most"
        )
    if max(width, height) > MAX_SIDE:
        raise UnfitPayloadError(
            f"the image has {width} x {height} pixels, expected sides of {MAX_SIDE} at most"
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UnfitPayloadError(
            f"the image has {width} x {height} pixels: one side may be {MAX_ASPECT} times the "
            "other at most"
        )


def _least(size: tuple[int, int] | None, square: int | None) -> int:
    """How many pixels the shorter side needs, before it is scaled; 0 for all."""
    wanted = size or (square and (square,))
    return max(_REDUCED, *wanted) if wanted else 0


def _reduction(picture: Picture, least: int) -> int:
    """By how much a JPEG's decoder reduces the sides: as Pillow's ``draft`` chooses it."""
    if picture.format != JPEG or not least:
        return 1
    most = min(picture.width, picture.height) // least
    return next(factor for factor in (8, 4, 2, 1) if factor <= max(most, 1))


def _check_memory(picture: Picture, least: int) -> None:
    pixels = picture.width * picture.height // _reduction(picture, least) ** 2
    scaled, whole = _WORK[picture.mode]
    needed = picture.coefficients + pixels * (scaled if least else whole)
    if least:
        needed += _SCALED_ROW * min(picture.width, picture.height)
    if needed > MAX_MEMORY:
        raise UnfitPayloadError(
            f"the image has {picture.width} x {picture.height} pixels, which take "
            f"{needed // 2**20} MiB to decode, expected {MAX_MEMORY // 2**20} MiB at most: "
            "scale it down"
        )
    bounds.check_time()
    bounds.charge(3 * pixels)


def _corrupt(what: str) -> MalformedPayloadError:
    return MalformedPayloadError(f"the image is corrupt or truncated: {what}")


# PNG

_CHUNK = struct.Struct(">I4s")
_CHUNK_OVERHEAD = 12  # length, name and checksum
_MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_WITH_ALPHA = (4, 6)


def _png(body: bytes) -> Picture:
    """Only IHDR, the first PLTE and tRNS, and IDAT go to the decoder."""
    view = memoryview(body)
    kept: list[Piece] = [_PNG_SIGNATURE]
    seen: set[bytes] = set()
    once: set[bytes] = set()
    at, orientation, width, height, depth, colour = len(_PNG_SIGNATURE), 1, 0, 0, 0, 0
    for _ in range(MAX_PARTS):
        length, name = _CHUNK.unpack_from(body, at)
        end = at + _CHUNK_OVERHEAD + length
        if end > len(body):
            raise _corrupt(f"it ends within its chunk {_name(name)}")
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise _corrupt(f"the checksum of its chunk {_name(name)} at byte {at:,} is wrong")
        if not seen:
            if name != b"IHDR" or length < 13:
                raise _corrupt("it does not begin with an IHDR")
            width, height, depth, colour = struct.unpack_from(">IIBB", body, at + 8)
            if colour not in _MODES:
                raise _corrupt(f"the colour type {colour} is none of a PNG")
            once = {b"IHDR", b"PLTE"} if colour in _WITH_ALPHA else {b"IHDR", b"PLTE", b"tRNS"}
        if name in (b"IDAT", b"IEND") or (name in once and name not in seen):
            kept.append(view[at:end])
        elif name == b"eXIf":
            orientation = _orientation(body[at + 8 : end - 4])
        seen.add(name)
        if name == b"IEND":
            break
        at = end
    else:
        raise UnfitPayloadError(f"the image has more than {MAX_PARTS:,} chunks")
    mode = {1: "1", 16: "I;16"}.get(depth, "L") if colour == 0 else _MODES[colour]
    if b"tRNS" in seen & once and mode != "I;16":
        mode += "T"
    return Picture(PNG, width, height, mode, b"".join(kept), orientation)


def _name(name: bytes) -> str:
    return repr(name.decode("latin-1")) if name.isalpha() else "of no name"


# JPEG

_SOI, _EOI, _SOS, _APP1 = 0xD8, 0xD9, 0xDA, 0xE1
_KEPT_SEGMENTS = frozenset([0xDB, 0xC4, 0xDD, 0xE0, 0xEE])  # tables, JFIF's and Adobe's: colour
_FRAMES = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive"}
_OTHER_FRAMES = frozenset(range(0xC0, 0xD0)) - set(_FRAMES) - {0xC4, 0xC8, 0xCC}
_JPEG_MODES = {1: "L", 3: "RGB", 4: "CMYK"}


def _jpeg(body: bytes) -> Picture:
    """Of what comes before the first scan, the tables, the frame and what the colours go by."""
    view = memoryview(body)
    kept: list[Piece] = [b"\xff\xd8"]
    frame: tuple[int, bytes] | None = None
    orientation = 1
    at = 2
    for _ in range(MAX_PARTS):
        at = body.find(b"\xff", at)
        if at < 0 or at + 4 > len(body):
            raise _corrupt("it ends before its first scan")
        marker = body[at + 1]
        if marker in (0x00, 0xFF) or _is_bare(marker):
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(view[at + 2 : at + 4], "big")
        if end > len(body) or end < at + 4:
            raise _corrupt("it ends within a segment")
        if marker in _OTHER_FRAMES:
            raise UnfitPayloadError(
                f"the image uses a JPEG process that is not supported (SOF{marker - 0xC0}): "
                "expected baseline or progressive, with Huffman coding"
            )
        if marker in _FRAMES:
            if frame is not None:
                raise _corrupt("it has two frames")
            frame = marker, body[at + 4 : end]
        if marker == _APP1 and body[at + 4 : at + 10] == b"Exif\0\0" and orientation == 1:
            orientation = _orientation(body[at + 10 : end])
        if marker in _KEPT_SEGMENTS or marker in _FRAMES:
            kept.append(view[at:end])
        if marker == _SOS:
            break
        at = end
    else:
        raise UnfitPayloadError(f"the image has more than {MAX_PARTS:,} segments")
    if frame is None:
        raise _corrupt("it has no frame")
    return _framed(body, at, kept, frame, orientation)


def _is_bare(marker: int) -> bool:
    """Whether no length follows: RST, SOI, EOI, TEM."""
    return 0xD0 <= marker <= _EOI or marker == 0x01


def _framed(
    body: bytes, at: int, kept: list[Piece], frame: tuple[int, bytes], orientation: int
) -> Picture:
    """The picture whose first scan begins at ``at``."""
    process, header = frame
    height, width, count = struct.unpack_from(">HHB", header, 1)
    if count not in _JPEG_MODES:
        raise _corrupt(f"it has {count} components")
    end = len(body)
    ends = body.find(b"\xff\xd9", at)
    coefficients = 0
    if _FRAMES[process] == "progressive" or body[at + 4] < count:
        # The decoder holds all coefficients, and goes through them with every scan, however few
        # bytes that has. It is given nothing behind the end that was seen here.
        end = len(body) if ends < 0 else ends + 2
        scans = body.count(b"\xff\xda", at, end)
        blocks = _blocks(width, height, header[6:], count)
        coefficients = blocks * 128
        if scans > MAX_SCANS or scans * blocks > MAX_BLOCKS:
            raise UnfitPayloadError(
                f"the image is a JPEG of {width} x {height} pixels in {scans} scans, expected "
                f"{min(MAX_SCANS, MAX_BLOCKS // max(1, blocks))} at most"
            )
    kept.append(memoryview(body)[at:end])
    mode = _JPEG_MODES[count]
    return Picture(JPEG, width, height, mode, b"".join(kept), orientation, coefficients, ends >= 0)


def _blocks(width: int, height: int, components: bytes, count: int) -> int:
    """How many blocks of 8 x 8 coefficients the components have."""
    factors = [components[3 * index + 1] for index in range(count)]
    across, down = [factor >> 4 for factor in factors], [factor & 15 for factor in factors]
    if not all(1 <= factor <= 4 for factor in (*across, *down)):
        raise _corrupt("a sampling factor is none of 1 to 4")
    units = -(-width // (8 * max(across))) * -(-height // (8 * max(down)))
    return units * sum(wide * high for wide, high in zip(across, down))


# WebP


def _webp(body: bytes) -> Picture:
    (size,) = struct.unpack_from("<I", body, 4)
    end = size + 8
    if end > len(body):
        raise _corrupt(f"its header promises {end:,} bytes, it has {len(body):,}")
    name = body[12:16]
    orientation = 1
    if name == b"VP8 ":
        if body[23:26] != b"\x9d\x01\x2a":
            raise _corrupt("its frame does not begin as one of VP8")
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", body, 26))
    elif name == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif name == b"VP8X":
        width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (24, 27))
        orientation = _webp_orientation(body, end)
    else:
        raise _corrupt("it begins with no chunk of a WebP")
    return Picture(WEBP, width, height, WEBP, body[:end], orientation)


def _webp_orientation(body: bytes, end: int) -> int:
    at = 12
    for _ in range(MAX_PARTS):
        if at + 8 > end:
            return 1
        name, length = struct.unpack_from("<4sI", body, at)
        if name == b"EXIF":
            return _orientation(body[at + 8 : min(end, at + 8 + length)])
        at += 8 + length + length % 2
    raise UnfitPayloadError(f"the image has more than {MAX_PARTS:,} chunks")


def _orientation(exif: bytes) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none. Nothing else in it is read."""
    if exif[:6] == b"Exif\0\0":
        exif = exif[6:]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for entry in range(min(count, _MAX_TAGS)):
            tag, kind = struct.unpack_from(order + "HH", exif, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                form = {_SHORT: "H", _LONG: "I"}.get(kind)
                if form is None:
                    return 1
                (value,) = struct.unpack_from(order + form, exif, start + 10 + 12 * entry)
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


# Pixels


def _opened(picture: Picture, least: int) -> PillowImage:
    """The pixels as they are stored, of a JPEG reduced towards the ``least`` that are needed."""
    from PIL import Image, ImageFile

    ImageFile.LOAD_TRUNCATED_IMAGES = False  # gluoncv sets it, for the whole process
    image = Image.open(io.BytesIO(picture.body), formats=(picture.format.upper(),))
    if image.size != (picture.width, picture.height):
        raise _corrupt("its header says two sizes")
    if _reduction(picture, least) > 1:
        image.draft(None, (least, least))
    image.load()
    return image


Box = Tuple[int, int, int, int]


def _scaled(image: PillowImage, box: Box, size: tuple[int, int], ground: str) -> PillowImage:
    """What of ``image`` lies in ``box``, in ``size``, without colours that are transparent."""
    from PIL import Image

    own = (box[2] - box[0], box[3] - box[1])
    plain = image.mode in ("L", "RGB", "CMYK", "LA", "RGBA") and not _has_key(image)
    if not plain or own == size:
        image = image.crop(box) if own != image.size else image
        if not plain:
            image = _converted(image, ground)
        box = (0, 0, *own)
    if own != size:
        # Scaled with its transparency, what is behind it does not shine through at the edges.
        image = image.resize(size, Image.Resampling.BILINEAR, box)
    return _converted(image, ground)


def _has_key(image: PillowImage) -> bool:
    return "transparency" in image.info


def _converted(image: PillowImage, ground: str) -> PillowImage:
    """``image`` as L, RGB or CMYK: without palette or transparency, in 8 bits."""
    from PIL import Image

    if image.mode.startswith("I"):
        return Image.fromarray(_eight_bits(image, 65535 if ground == "white" else 0))
    if _has_key(image) or image.mode in ("LA", "PA", "RGBA"):
        canvas = Image.new("RGBA", image.size, ground)
        canvas.alpha_composite(image.convert("RGBA"))
        return canvas.convert("RGB")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "CMYK") else image.convert("RGB")


def _eight_bits(image: PillowImage, ground: int) -> NDArray[Any]:
    grey = np.array(image, np.uint32)  # 65535 is white
    grey[grey == image.info.get("transparency", -1)] = ground
    return ((grey + 128) // 257).astype(np.uint8)


def _turned(image: PillowImage, orientation: int) -> PillowImage:
    """``image`` as EXIF's ``orientation`` says that it was held."""
    from PIL import Image

    turn = Image.Transpose
    turns = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image
