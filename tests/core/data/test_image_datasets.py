"""Examples read when they are asked for: the right ones, and what is wrong with a file by name."""

from __future__ import annotations

import gc
import logging
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.core import Array, CsvRows, DataError, ImageFiles, RecordImages, codecs, files, mx
from algoshelf.core.data import tables
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.core.data.packs import png, write_csv, write_folders, write_records

CLASSES = tuple("0123456789")
MAGIC = struct.pack("<I", 0xCED7230A)
Digits = "tuple[np.ndarray, np.ndarray]"


def decode(body: bytes) -> Array:
    return codecs.decode_image(body, mode="L", size=(28, 28))[np.newaxis]


def raw(body: bytes) -> Array:
    """For records that hold no image."""
    return np.array([len(body), sum(body)], np.int64)


@pytest.fixture
def folders(digits: Digits, tmp_path: Path) -> Path:
    return write_folders(tmp_path / "digits", *digits)


@pytest.fixture
def pack(digits: Digits, tmp_path: Path) -> Path:
    images, labels = digits
    return write_records(tmp_path / "digits.rec", [png(image) for image in images], labels)


@pytest.fixture
def rows(digits: Digits, tmp_path: Path) -> Path:
    return write_csv(tmp_path / "digits.csv", *digits)


def opened(form: str, folders: Path, pack: Path, rows: Path) -> Any:
    if form == "folders":
        return ImageFiles.from_folders(folders, decode)
    if form == "pack":
        return RecordImages(pack, decode)
    return CsvRows(rows, features=784, classes=CLASSES)


@pytest.mark.parametrize("form", ["folders", "pack", "rows"])
def test_any_examples_are_taken_in_any_order_by_any_thread(
    form: str, digits: Digits, folders: Path, pack: Path, rows: Path
) -> None:
    images, labels = digits
    data = opened(form, folders, pack, rows)
    assert len(data) == 100
    assert data.encoding == {"classes": list(CLASSES)}
    assert data.labels().dtype == np.int32
    np.testing.assert_array_equal(data.labels(), labels)

    def check(seed: int) -> None:
        indices = np.random.default_rng(seed).integers(0, 100, seed % 40)
        x, y = data.take(indices)
        np.testing.assert_array_equal(x.reshape(len(indices), 28, 28), images[indices])
        np.testing.assert_array_equal(y, labels[indices])
        assert y.dtype == np.int32

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(check, range(80)))


@pytest.mark.parametrize("form", ["folders", "pack", "rows"])
def test_a_digest_is_that_of_content_labels_and_names(
    form: str, digits: Digits, folders: Path, pack: Path, rows: Path, tmp_path: Path
) -> None:
    digest = opened(form, folders, pack, rows).digest()
    assert opened(form, folders, pack, rows).digest() == digest
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in (folders, pack, rows):
        path.rename(moved / path.name)
    paths = [moved / path.name for path in (folders, pack, rows)]
    assert opened(form, *paths).digest() == digest
    images, labels = digits
    changed = images.copy()
    changed[50, 3, 3] ^= 1
    (moved / "digits" / "5" / "00050.png").write_bytes(png(changed[50]))
    write_records(paths[1], [png(image) for image in changed], labels)
    write_csv(paths[2], changed, labels)
    assert opened(form, *paths).digest() != digest


def test_a_file_under_another_name_or_class_has_another_digest(folders: Path) -> None:
    digests = {ImageFiles.from_folders(folders, decode).digest()}
    (folders / "1" / "00011.png").rename(folders / "1" / "new.png")
    digests.add(ImageFiles.from_folders(folders, decode).digest())
    (folders / "1" / "new.png").rename(folders / "2" / "new.png")
    digests.add(ImageFiles.from_folders(folders, decode).digest())
    assert len(digests) == 3


# Damaged images


def undecodable(image: np.ndarray) -> bytes:
    """A PNG whose frame and checksums are right, but not what is compressed in it."""
    body = png(image)
    at = body.index(b"IDAT")
    data = body[at : body.index(b"IEND") - 8]
    data = data[:4] + data[4:10] + b"x" * (len(data) - 10)
    return body[:at] + data + struct.pack(">I", zlib.crc32(data)) + body[-12:]


@pytest.mark.parametrize("form", ["folders", "pack"])
@pytest.mark.parametrize("damage", ["cut", "undecodable"])
def test_all_damaged_images_are_named_at_once(
    form: str, damage: str, digits: Digits, folders: Path, pack: Path
) -> None:
    images, labels = digits
    bodies = [png(image) for image in images]
    chosen = (0, 20, 21, 60, 99)
    for number in chosen:
        whole = bodies[number]
        bodies[number] = whole[:-40] if damage == "cut" else undecodable(images[number])
        (folders / str(number // 10) / f"{number:05}.png").write_bytes(bodies[number])
    write_records(pack, bodies, labels)
    with pytest.raises(DataError) as caught:
        opened(form, folders, pack, pack).take(np.arange(100))
    *named, said = caught.value.faults
    for fault, number in zip(named, chosen):
        name = {
            "folders": str(folders / str(number // 10) / f"{number:05}.png"),
            "pack": f"{pack}: record {number + 1}",
        }[form]
        assert fault.startswith(f"{name}: the image is corrupt")
    assert len(named) == 5
    assert said == "5 of 100 images are damaged or beyond the limits: mend or remove them"
    read, place = {
        "folders": (ImageFiles.from_folders, folders), "pack": (RecordImages, pack),
    }[form]  # fmt: skip
    with pytest.raises(DataError, match=r"remove them, or leave them out \(--on-damaged skip\)$"):
        read(place, decode, on_damaged="fail").take(np.arange(100))  # type: ignore[operator]


@pytest.mark.parametrize("form", ["folders", "pack"])
def test_damaged_images_are_left_out_where_that_is_asked_for(
    form: str, digits: Digits, folders: Path, pack: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images, labels = digits
    bodies = [png(image) for image in images]
    for number in (0, 20, 21):
        bodies[number] = bodies[number][:-40]
        (folders / str(number // 10) / f"{number:05}.png").write_bytes(bodies[number])
    write_records(pack, bodies, labels)
    with caplog.at_level(logging.WARNING):
        data: Any = (
            ImageFiles.from_folders(folders, decode, on_damaged="skip")
            if form == "folders"
            else RecordImages(pack, decode, on_damaged="skip")
        )
    assert caplog.text.count("it is left out") == 3
    kept = np.delete(np.arange(100), [0, 20, 21])
    x, y = data.take(np.arange(97))
    np.testing.assert_array_equal(x[:, 0], images[kept])
    np.testing.assert_array_equal(y, labels[kept])
    np.testing.assert_array_equal(data.labels(), labels[kept])
    assert data.counts["damaged"] == 3
    assert "3 damaged of 100 left out" in data.note
    assert (
        data.digest() != opened("folders", folders_of(folders, images, labels), pack, pack).digest()
    )


def folders_of(folders: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    return write_folders(folders.parent / "whole", images, labels)


def test_another_of_its_class_stands_in_for_an_image_that_decoding_alone_refuses(
    digits: Digits, folders: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images, labels = digits
    for number, stand_in in ((41, 42), (49, 40)):  # the last of a class begins anew
        path = folders / "4" / f"{number:05}.png"
        whole = path.read_bytes()
        path.write_bytes(undecodable(images[number]))
        data = ImageFiles.from_folders(folders, decode, on_damaged="skip")
        with caplog.at_level(logging.WARNING):
            for indices in (np.array([3, number, 7]), np.array([number])):
                x, y = data.take(indices)
                expected = [stand_in if index == number else index for index in indices]
                np.testing.assert_array_equal(x[:, 0], images[expected])
                np.testing.assert_array_equal(y, labels[indices])
        assert len(data) == 100
        assert caplog.text.count(f"{path}: the image is corrupt or truncated") == 1  # said once
        path.write_bytes(whole)


def test_a_class_of_damaged_images_cannot_be_left_out(digits: Digits, tmp_path: Path) -> None:
    images, labels = digits
    chosen = np.r_[0, 10:100, 10:100]
    bodies = [png(image) for image in images[chosen]]
    for body in (b"none", undecodable(images[0])):
        bodies[0] = body
        path = write_records(tmp_path / "d.rec", bodies, labels[chosen])
        with pytest.raises(DataError, match=r"record 1: the .*, as are all other images of its"):
            RecordImages(path, decode, on_damaged="skip").take(np.arange(3))


def test_a_file_that_is_gone_ends_the_training(folders: Path) -> None:
    """It might be there again when the training is resumed: then nothing may stand in for it."""
    data = ImageFiles.from_folders(folders, decode)
    (folders / "3" / "00031.png").unlink()
    with pytest.raises(DataError, match=r"3/00031\.png: cannot be read: No such file"):
        data.take(np.array([31]))


def test_a_file_too_long_for_an_image_is_refused(folders: Path) -> None:
    with (folders / "3" / "00031.png").open("ab") as stream:
        stream.truncate(files.MAX_IMAGE_BYTES + 1)
    with pytest.raises(DataError, match=r"00031\.png: longer than 67,108,864 bytes"):
        ImageFiles.from_folders(folders, decode)


def test_images_of_different_shapes_are_refused_by_name(digits: Digits, tmp_path: Path) -> None:
    images, labels = digits
    bodies = [png(image) for image in images]
    bodies[3] = png(images[3][:14])
    pack = write_records(tmp_path / "d.rec", bodies, labels)
    data = RecordImages(pack, lambda body: codecs.decode_image(body, mode="L"))
    match = r"record 4: becomes \(14, 28\) uint8; .*record 1 became \(28, 28\) uint8"
    with pytest.raises(DataError, match=match):
        data.take(np.arange(5))


def test_examples_in_float64_become_float32(pack: Path) -> None:
    data = RecordImages(pack, lambda body: decode(body) / 255)
    assert data.take(np.arange(3))[0].dtype == np.float32


# Folders


def test_classes_of_the_training_are_kept_to(folders: Path) -> None:
    with pytest.raises(DataError, match=r"digits/7: the training data has no class of this name"):
        ImageFiles.from_folders(folders, decode, [*"012345689"])
    data = ImageFiles.from_folders(folders, decode, ["none", *CLASSES])
    assert data.labels().min() == 1
    assert data.encoding == {"classes": ["none", *CLASSES]}


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains no subfolders with PNG, JPEG or WebP images"):
        ImageFiles.from_folders(tmp_path, decode)


def test_pictures_are_found_by_content_at_any_depth(digits: Digits, tmp_path: Path) -> None:
    """And what is left out is said, by kind and count."""
    images, _ = digits
    for number, place in enumerate(
        ("cat/a.png", "cat/2020/may/b.PNG", "cat/2020/c.txt", "dog/deep/er/d.jpg", "dog/e")
    ):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(images[number]))
    picture = Image.fromarray(images[9])
    for place, form in (("dog/f.webp", "WEBP"), ("dog/g.png", "JPEG"), ("cat/h.gif", "GIF"),
                        ("cat/i.png", "GIF"), ("dog/j.bmp", "BMP"), ("k.png", "PNG")):  # fmt: skip
        picture.save(tmp_path / place, form)
    (tmp_path / "dog" / "notes.txt").write_text("about dogs")
    (tmp_path / "bird").mkdir()
    (tmp_path / "dog" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (tmp_path / "dog" / ".hidden").mkdir()
    (tmp_path / "dog" / "again").symlink_to(tmp_path / "dog")
    (tmp_path / "cat" / "all").symlink_to(tmp_path)  # by which dogs were cats too
    data = ImageFiles.from_folders(tmp_path, decode)
    assert data.encoding == {"classes": ["cat", "dog"]}
    assert data.labels().tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert data.note == (
        "6 files are left out: 1 .db, 1 .txt, 1 BMP, 2 GIF, 1 PNG beside the classes' folders; "
        "1 folder is no class, since it holds no examples: bird; "
        "cat/all: a link that leads to a folder that is read already; "
        "dog/again: a link that leads to a folder that is read already"
    )
    assert data.counts == {"left_out": 6, "empty_folders": 1}
    x, _ = data.take(np.arange(7))
    for place, number in ((0, 2), (1, 1), (2, 0), (3, 3), (4, 4)):
        np.testing.assert_array_equal(x[place, 0], images[number])


def test_parts_of_the_data_are_no_classes(digits: Digits, tmp_path: Path) -> None:
    for part in ("train", "Test", "val"):
        write_folders(tmp_path / part, *digits)
    with pytest.raises(DataError) as refused:
        ImageFiles.from_folders(tmp_path, decode)
    assert str(refused.value).endswith(
        "subfolders Test, train, val are parts of the data, not classes: give each to its channel: "
        f"--train {tmp_path}/train --validation {tmp_path}/val --test {tmp_path}/Test"
    )


def test_parts_without_classes_are_not_told_apart(digits: Digits, tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "7.png").write_bytes(png(digits[0][0]))
    with pytest.raises(DataError, match="each needs a subfolder for every class"):
        ImageFiles.from_folders(tmp_path, decode)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_pictures_of_one_colour_are_counted_and_named(
    form: str, folders: Path, digits: Digits
) -> None:
    plain = folders / "3" / f"plain.{form.lower()}"
    Image.new("RGB", (300, 200), (200, 30, 40)).save(plain, form)
    Image.new("L", (1, 1), 9).save(folders / "4" / "dot.png")
    data = ImageFiles.from_folders(folders, decode)
    assert data.counts == {"one_colour": 2}
    assert data.note == (
        "2 pictures are of one colour throughout, nothing to learn from: "
        f"{plain}, {folders / '4' / 'dot.png'}"
    )
    assert data.labels().tolist().count(3) == 11


def test_a_pointer_of_git_lfs_is_no_picture_and_is_told(folders: Path) -> None:
    (folders / "3" / "a.png").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    )
    with pytest.raises(DataError, match=r"a.png: the body is a Git LFS pointer.*`git lfs pull`"):
        ImageFiles.from_folders(folders, decode)


# RecordIO


def test_records_that_hold_the_magic_number_are_joined_again(tmp_path: Path) -> None:
    """mxnet's writer cuts a record where the magic number stands at a multiple of 4 in it."""
    bodies = [MAGIC * n + b"x" * (n % 7) + MAGIC + b"yz" * n for n in range(40)]
    path = write_records(tmp_path / "m.rec", bodies, list(range(40)))
    data = RecordImages(path, raw, look=None)
    x, y = data.take(np.arange(40)[::-1])
    np.testing.assert_array_equal(x, [raw(body) for body in bodies[::-1]])
    np.testing.assert_array_equal(y, np.arange(40)[::-1])


def test_records_without_classes_have_those_of_their_labels(tmp_path: Path) -> None:
    path = write_records(tmp_path / "m.rec", [b"a"] * 3, [0, 5, 2])
    assert RecordImages(path, raw, look=None).encoding == {"classes": [*"012345"]}
    assert RecordImages(path, raw, [*"abcdef"], look=None).encoding == {"classes": [*"abcdef"]}
    with pytest.raises(
        DataError, match=r"record 2 .*the label 5 is not a whole number from 0 to 4"
    ):
        RecordImages(path, raw, [*"abcde"], look=None)


@pytest.mark.parametrize("label", [-1, 0.5, float("nan"), float("inf"), 1e9])
def test_a_label_that_is_no_class_is_refused(tmp_path: Path, label: float) -> None:
    path = write_records(tmp_path / "m.rec", [b"a"] * 3, [0, 1, label])
    with pytest.raises(DataError, match=r"m\.rec: record 3 \(at byte 72\) the label"):
        RecordImages(path, raw, look=None)


def test_several_labels_are_refused_where_one_is_expected(tmp_path: Path) -> None:
    path = write_records(tmp_path / "m.rec", [b"a", b"bb"], [[1, 2], [3, 4]])
    with pytest.raises(DataError, match=r"record 1 \(at byte 0\) has 2 labels, as all others"):
        RecordImages(path, raw, look=None, one_label=True)


def test_label_arrays_of_one_are_classes_and_of_more_are_targets(tmp_path: Path) -> None:
    path = write_records(tmp_path / "one.rec", [b"a", b"bb"], [np.array([3]), 1])
    np.testing.assert_array_equal(RecordImages(path, raw, look=None).labels(), [3, 1])
    targets = np.array([[0, 1.5, 1], [1, 0, -2.5]], np.float32)
    data = RecordImages(
        write_records(tmp_path / "more.rec", [b"a", b"bb"], [*targets]), raw, look=None
    )
    x, y = data.take(np.array([1, 0]))
    np.testing.assert_array_equal(x[:, 0], [2, 1])
    np.testing.assert_array_equal(y, targets[::-1])
    assert y.dtype == np.float32
    np.testing.assert_array_equal(data.labels(), targets)
    mixed = write_records(tmp_path / "mixed.rec", [b"a", b"bb"], [targets[0], 1])
    with pytest.raises(DataError, match=r"mixed\.rec: record 2 .* has 1 labels, the others 3"):
        RecordImages(mixed, raw, look=None)


def test_a_file_cut_short_is_refused_with_the_record(tmp_path: Path) -> None:
    path = write_records(tmp_path / "m.rec", [b"abcd" * 9] * 3, [0, 1, 2])
    whole = path.read_bytes()
    assert len(whole) == 3 * 68
    for length in range(2 * 68 + 1, 3 * 68):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"m\.rec: record 3 \(at byte 136\) is cut short"):
            RecordImages(path, raw, look=None)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="holds no records"):
        RecordImages(path, raw, look=None)


def test_a_file_that_shrinks_while_in_use_is_refused(tmp_path: Path) -> None:
    path = write_records(tmp_path / "m.rec", [b"abcd" * 9] * 3, [0, 1, 2])
    data = RecordImages(path, raw, look=None)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"m\.rec: has become shorter"):
        data.take(np.array([2]))
    with pytest.raises(DataError, match=r"m\.rec: has become shorter"):
        data.digest()


def part(flag: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return MAGIC + struct.pack("<I", flag << 29 | size) + body + b"\0" * (-len(body) % 4)


HEADER = struct.pack("<IfQQ", 0, 1, 0, 0)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (part(0, HEADER)[:-30] + b"x" * 30, "is too short for an image record's header|damaged"),
        (part(0, HEADER[:20]), "is too short for an image record's header"),
        (part(0, struct.pack("<IfQQ", 2**32 - 1, 0, 0, 0)), "for the 4,294,967,295 labels"),
        (part(0, HEADER, 2**29 - 1), "longer than 67,108,864 bytes"),
        (part(0, HEADER, 2**20), "is cut short"),
        (part(1, HEADER), "is cut short"),
        (part(1, HEADER) + part(0, b""), "is damaged"),
        (part(1, HEADER) + part(1, b""), "is damaged"),
        (part(2, HEADER) + part(3, b""), "is damaged"),
        (part(3, HEADER), "is damaged"),
        (part(4, HEADER), "is damaged"),
        (b"PK\3\4" + part(0, HEADER), "is damaged, or this is not a RecordIO file"),
    ],
)
def test_a_hostile_file_is_refused(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "m.rec"
    path.write_bytes(part(0, HEADER) + content)
    with pytest.raises(DataError, match=rf"m\.rec: record 2 \(at byte 32\).*({fault})"):
        RecordImages(path, raw, look=None)


def test_a_record_of_endless_parts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.rec"
    with path.open("wb") as stream:
        stream.write(part(1, HEADER))
        for _ in range(3):
            stream.write(part(2, b"", 30 * 2**20))
            stream.seek(30 * 2**20, 1)
        stream.write(part(3, b""))
    with pytest.raises(DataError, match="longer than 67,108,864 bytes"):
        RecordImages(path, raw, look=None)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A pack with records whole and in parts, some of whose bytes are others."""
    bodies = draw(st.lists(st.sampled_from([b"", b"abc", b"abcd" * 9, MAGIC * 3]), min_size=1))
    content = b""
    for body in bodies:
        flag = draw(st.integers(0, 3))
        record = struct.pack("<IfQQ", flag, 1, 0, 0) + struct.pack("<f", 1) * flag + body
        cuts = draw(st.lists(st.integers(0, len(record) // 4), max_size=3))
        ends = sorted({0, len(record), *(4 * cut for cut in cuts)})
        pieces = [record[a:b] for a, b in zip(ends, ends[1:])]
        flags = [1, *[2] * (len(pieces) - 2), 3] if len(pieces) > 1 else [0]
        content += b"".join(part(f, piece) for f, piece in zip(flags, pieces))
    changed = bytearray(content)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(changed) - 1))
        changed[place] = draw(st.integers(0, 255))
    return bytes(changed[: draw(st.integers(0, len(changed)))])


@settings(max_examples=400)
@given(st.one_of(damaged(), st.binary(max_size=100)))
@example(part(0, HEADER + b"abc"))
def test_damaged_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """What is read is what mxnet's own reader reads."""
    path = tmp_path_factory.getbasetemp() / "damaged.rec"
    path.write_bytes(content)
    try:
        data = RecordImages(path, raw, look=None)
    except DataError:
        return
    x, _ = data.take(np.arange(len(data)))
    recordio = mx.load().recordio
    reader = recordio.MXRecordIO(str(path), "r")
    for found in x:
        np.testing.assert_array_equal(found, raw(recordio.unpack(reader.read())[1]))
    assert reader.read() is None
    reader.close()


# CSV


def read_all(path: Path, features: int = 2) -> tuple[Array, Array]:
    data = CsvRows(path, features=features, classes=CLASSES)
    return data.take(np.arange(len(data)))


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3\n4,5,6\n",
        "1,2,3\n4,5,6",
        "label,a,b\n1,2,3\n4,5,6\n",
        "\ufeff1,2,3\n4,5,6\n\n\n",
        "\ufefflabel,a,b\r\n1,2,3\r\n4,5,6\r\n \r\n",
        '"1", 2.0,3e0\n4,+5,6.0\n\n',
    ],
)
@pytest.mark.parametrize("block", [1, 7, 16, 2**20])
def test_rows_are_those_of_the_reader_of_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, block: int
) -> None:
    monkeypatch.setattr(tables, "CSV_BLOCK_BYTES", block)
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode())
    for x, y in (read_all(path), files.read_labelled_csv(path, features=2, labels=10)):
        np.testing.assert_array_equal(x, [[2, 3], [5, 6]])
        np.testing.assert_array_equal(y, [1, 4])


@pytest.mark.parametrize("block", [1, 16, 2**20])
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1,2,3\n4,5,6,7\n", "rows.csv: line 2 has 4 columns"),
        ("a,b,c\n1,2,3\n10,5,6\n", "rows.csv: line 3: the label 10 is not a whole number"),
        ("a,b,c\n1,2,3\n1,x,6\n", "rows.csv: line 3, column 2: 'x' is not a number"),
        ("a,b,c\n1,2,3\n\n1,2,6\n", "rows.csv: line 3 is empty"),
        ("\n\n1,2,6\n", "rows.csv: line 1 is empty"),
        ("a,b,c\n", "rows.csv: holds no rows"),
        ("", "rows.csv: holds no rows"),
    ],
)
def test_a_fault_of_a_row_names_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, text: str, fault: str
) -> None:
    monkeypatch.setattr(tables, "CSV_BLOCK_BYTES", block)
    path = tmp_path / "rows.csv"
    path.write_text(text)
    for read in (read_all, lambda p: files.read_labelled_csv(p, features=2, labels=10)):
        with pytest.raises(DataError) as caught:
            read(path)
        assert fault in str(caught.value)


def test_rows_that_change_while_in_use_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c\n1,2,3\n4,5,6\n")
    data = CsvRows(path, features=2, classes=CLASSES)
    with path.open("r+") as stream:
        stream.write("a,b,c\n1,2,3\n4,x,6\n")
    with pytest.raises(DataError, match=r"rows\.csv: line 3, column 2: 'x' is not a number"):
        data.take(np.array([0, 1]))
    with path.open("r+") as stream:
        stream.write("a,b,c\n1,2,3\n5,5,6\n")
    with pytest.raises(DataError, match=r"rows\.csv: has changed since"):
        data.take(np.array([0, 1]))


def test_compressed_rows_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.csv\.gz: a compressed file cannot .*gunzip"):
        CsvRows(tmp_path / "rows.csv.gz", features=2, classes=CLASSES)


def test_nothing_stays_open(folders: Path, pack: Path, rows: Path) -> None:
    def held() -> tuple[list[str], int]:
        links = [str(link.resolve()) for link in Path("/proc/self/fd").iterdir()]
        threads = [t for t in threading.enumerate() if t.name.startswith("algoshelf-decode")]
        return [link for link in links if str(pack.parent) in link], len(threads)

    gc.collect()  # what other tests have let go of
    before = held()
    for form in ("folders", "pack", "rows"):
        opened(form, folders, pack, rows).take(np.arange(50))
    deadline = time.monotonic() + 10
    while held() != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert held() == before
