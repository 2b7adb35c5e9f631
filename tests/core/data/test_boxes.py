"""Labelled pictures: the same boxes from every form, and what is wrong with them by name."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from algoshelf.core import Array, DataError
from algoshelf.core.data import box_files, recordio
from algoshelf.core.data.box_augmentation import Augmented, Changes, coloured
from algoshelf.core.data.box_drawing import Caption, with_boxes
from algoshelf.core.data.box_pictures import LabelledPictures
from algoshelf.core.data.dataset import Subset
from PIL import Image

WIDTH, HEIGHT = 80, 60
COLOURS = {"cat": (220, 30, 30), "dog": (30, 30, 220)}
# Of each picture the objects: class, and edges in pixels.
PICTURES: list[list[tuple[str, int, int, int, int]]] = [
    [("cat", 8, 6, 40, 30), ("dog", 48, 30, 72, 54)],
    [],
    [("dog", 0, 0, 80, 60)],
]
NAMES = list(COLOURS)
Boxes = "list[tuple[str, float, float, float, float]]"


def picture(objects: Any, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """White, with a rectangle in its colour for each object."""
    canvas = np.full((size[1], size[0], 3), 255, np.uint8)
    for label, left, top, right, bottom in objects:
        canvas[top:bottom, left:right] = COLOURS[label]
    return Image.fromarray(canvas)


def png(objects: Any) -> bytes:
    stream = io.BytesIO()
    picture(objects).save(stream, "PNG")
    return stream.getvalue()


def xml(objects: Any, size: tuple[int, int] = (WIDTH, HEIGHT), name: str = "") -> str:
    listed = "".join(
        f"<object><name>{label}</name><difficult>0</difficult><bndbox><xmin>{left}</xmin>"
        f"<ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for label, left, top, right, bottom in objects
    )
    return (
        f"<annotation><filename>{name}</filename><size><width>{size[0]}</width>"
        f"<height>{size[1]}</height></size>{listed}</annotation>"
    )


def write_pictures(folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    names = [f"{number}.png" for number in range(len(PICTURES))]
    for name, objects in zip(names, PICTURES):
        (folder / name).write_bytes(png(objects))
    return names


def write_voc(folder: Path) -> Path:
    names = write_pictures(folder / "JPEGImages")
    (folder / "Annotations").mkdir()
    for name, objects in zip(names, PICTURES):
        (folder / "Annotations" / name).with_suffix(".xml").write_text(xml(objects))
    return folder


def write_coco(folder: Path) -> Path:
    names = write_pictures(folder / "images")
    annotations = [
        {
            "id": 10 * number + place, "image_id": number, "category_id": 7 + NAMES.index(label),
            "bbox": [left, top, right - left, bottom - top], "iscrowd": 0,
        }
        for number, objects in enumerate(PICTURES)
        for place, (label, left, top, right, bottom) in enumerate(objects)
    ]  # fmt: skip
    content = {
        "images": [
            {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
            for number, name in enumerate(names)
        ],
        "annotations": annotations,
        "categories": [{"id": 7 + place, "name": name} for place, name in enumerate(NAMES)],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def labels(objects: Any) -> list[float]:
    sides = (WIDTH, HEIGHT, WIDTH, HEIGHT)
    rows = [
        [NAMES.index(label), *(edge / side for edge, side in zip(edges, sides))]
        for label, *edges in objects
    ]
    return [2, 5, *(number for row in rows for number in row)]


def write_records(folder: Path) -> Path:
    folder.mkdir()
    bodies = []
    for number, objects in enumerate(PICTURES):
        packed = np.array(labels(objects), "<f4")
        header = struct.pack("<IfQQ", len(packed), 0.0, number, 0)
        bodies.append(header + packed.tobytes() + png(objects))
    (folder / "all.rec").write_bytes(b"".join(map(recordio.frame, bodies)))
    return folder / "all.rec"


def write_list(folder: Path) -> Path:
    names = write_pictures(folder)
    lines = [
        "\t".join([str(number), *map(repr, labels(objects)), name])
        for number, (name, objects) in enumerate(zip(names, PICTURES))
    ]
    (folder / "all.lst").write_text("\n".join(lines) + "\n")
    return folder


def annotations(objects: Any) -> list[dict[str, int]]:
    return [
        {
            "class_id": NAMES.index(label), "left": left, "top": top, "width": right - left,
            "height": bottom - top,
        }
        for label, left, top, right, bottom in objects
    ]  # fmt: skip


SIZE = [{"width": WIDTH, "height": HEIGHT, "depth": 3}]


def write_sagemaker(folder: Path) -> Path:
    names = write_pictures(folder / "train")
    (folder / "train_annotation").mkdir()
    for name, objects in zip(names, PICTURES):
        content = {
            "file": name,
            "image_size": SIZE,
            "annotations": annotations(objects),
            "categories": [{"class_id": i, "name": label} for i, label in enumerate(NAMES)],
        }
        file = (folder / "train_annotation" / name).with_suffix(".json")
        file.write_text(json.dumps(content))
    return folder


def write_manifest(folder: Path) -> Path:
    names = write_pictures(folder / "cats")
    lines = [
        json.dumps(
            {
                "source-ref": f"s3://bucket/data/cats/{name}",
                "boxes": {"image_size": SIZE, "annotations": annotations(objects)},
                "boxes-metadata": {
                    "class-map": {str(NAMES.index(each[0])): each[0] for each in objects},
                    "type": "groundtruth/object-detection",
                },
            }
        )
        for name, objects in zip(names, PICTURES)
    ]
    (folder / "output.manifest").write_text("\n".join(lines) + "\n")
    return folder / "output.manifest"


def write_yolo(folder: Path) -> Path:
    names = write_pictures(folder / "images" / "train")
    (folder / "labels" / "train").mkdir(parents=True)
    for name, objects in zip(names, PICTURES):
        if not objects:
            continue  # of a picture without objects there need be no file
        lines = []
        for label, left, top, right, bottom in objects:
            x, y = (left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT
            sides = f"{(right - left) / WIDTH:.6f} {(bottom - top) / HEIGHT:.6f}"
            lines.append(f"{NAMES.index(label)} {x:.6f} {y:.6f} {sides}\n")
        (folder / "labels" / "train" / name).with_suffix(".txt").write_text("".join(lines))
    (folder / "data.yaml").write_text("train: images/train\nnames:\n  0: cat\n  1: 'dog'\n")
    return folder


FORMS: dict[str, Callable[[Path], Path]] = {
    "voc": write_voc, "coco": write_coco, "records": write_records, "list": write_list,
    "sagemaker": write_sagemaker, "manifest": write_manifest, "yolo": write_yolo,
}  # fmt: skip


def read(path: Path, **given: Any) -> LabelledPictures:
    options = {"on_damaged": "fail", "on_faulty": "mend", **given}
    return box_files.read(path, options.pop("channel", "train"), options.pop("side", 40), **options)


def found(data: LabelledPictures) -> list[list[tuple[Any, ...]]]:
    return [
        [(data.classes[int(row[0])], *np.round(row[1:5], 3).tolist()) for row in rows]
        for rows in data.boxes
    ]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_pictures_and_boxes(form: str, tmp_path: Path) -> None:
    data = read(FORMS[form](tmp_path / form))
    # numbers alone name no classes
    names = ["0", "1"] if form in ("records", "list") else NAMES
    assert data.classes == names
    expected = [
        [(names[NAMES.index(label)], *map(float, edges)) for label, *edges in objects]
        for objects in PICTURES
    ]
    assert found(data) == expected
    assert data.encoding == {"classes": names, "boxes": 2}
    x, y = data.take(np.array([0, 1, 2]))
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((3, 3, 40, 40), "uint8", (3, 2, 5), "float32")
    np.testing.assert_allclose(y[0], [[0, 0.1, 0.1, 0.5, 0.5], [1, 0.6, 0.5, 0.9, 0.9]], atol=1e-6)
    assert (y[1] == -1).all()
    assert (y[2, 1] == -1).all()
    # where the box is, there is the object
    for example, rows in zip(x, y):
        for label, *edges in rows[rows[:, 0] >= 0].tolist():
            left, top, right, bottom = (round(edge * 40) for edge in edges)
            inside = example[:, top + 1 : bottom - 1, left + 1 : right - 1]
            expected_colour = np.array(COLOURS[NAMES[int(label)]])[:, None, None]
            assert np.abs(inside.astype(int) - expected_colour).max() < 40
    assert "1 picture without any" in data.note
    assert data.digest() == read(tmp_path / form).digest()


def test_voc_is_read_by_the_list_of_the_channel(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "voc")
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("0\n1\n")
    (lists / "val.txt").write_text("2\n")
    assert len(read(folder)) == 2
    data = read(folder, channel="validation", classes=NAMES, most=1)
    assert found(data) == [[("dog", 0.0, 0.0, 80.0, 60.0)]]
    with pytest.raises(DataError, match=r"has the lists train, val, and not test"):
        read(folder, channel="test")


@pytest.mark.parametrize("form", ["yolo", "coco"])
def test_a_channel_is_told_by_the_names_of_folders_and_files(form: str, tmp_path: Path) -> None:
    folder = FORMS[form](tmp_path / form)
    if form == "yolo":
        (folder / "images" / "val").mkdir()
        (folder / "images" / "train" / "0.png").rename(folder / "images" / "val" / "test.png")
    else:
        content = json.loads((folder / "instances.json").read_text())
        (folder / "instances.json").rename(folder / "instances_train2017.json")
        content["images"] = content["images"][:1]
        content["annotations"] = content["annotations"][:2]
        (folder / "instances_val2017.json").write_text(json.dumps(content))
    train, validation = (len(read(folder, channel=each)) for each in ("train", "validation"))
    assert (train, validation) == ((2, 1) if form == "yolo" else (3, 1))


def test_folders_with_pictures_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """As an export has them: train, valid and test, each with its pictures and XML files."""
    for part, objects in (("train", PICTURES[0]), ("valid", PICTURES[2])):
        (tmp_path / part).mkdir()
        picture(objects).save(tmp_path / part / "0.png")
        (tmp_path / part / "0.xml").write_text(xml(objects))
    assert len(found(read(tmp_path))[0]) == 2
    assert found(read(tmp_path, channel="validation"))[0] == [("dog", 0.0, 0.0, 80.0, 60.0)]
    with pytest.raises(DataError, match=r"none is called as the channel 'test' is \(test, testing"):
        read(tmp_path, channel="test")
    (tmp_path / "train" / "0.png").rename(tmp_path / "train" / "1.png")
    with pytest.raises(DataError, match=r"train/0\.xml: there is no picture 0"):
        read(tmp_path)  # and takes not that of the other folder


def test_coco_without_a_file_of_the_channel_is_refused(tmp_path: Path) -> None:
    folder = write_coco(tmp_path / "coco")
    (folder / "instances.json").rename(folder / "instances_train2017.json")
    with pytest.raises(DataError, match=r"none of its files in COCO's form is called as .*'test'"):
        read(folder, channel="test")
    assert len(read(folder / "instances_train2017.json", channel="test")) == 3


def test_pixels_and_parts_of_a_picture_are_not_taken_for_each_other(tmp_path: Path) -> None:
    write_faulty(tmp_path / "parts", [("cat", 0.1, 0.2, 0.5, 0.6)])
    with pytest.raises(DataError, match=r"from 0 to 1: expected pixels in this form"):
        read(tmp_path / "parts")
    picture([]).save(tmp_path / "a.png")
    (tmp_path / "a.lst").write_text("0\t2\t5\t1\t12\t30\t40\t50\ta.png\n")
    assert "1 box outside of the picture is left out" in read(tmp_path / "a.lst").note


FAULTY = [
    ("cat", 8, 6, 40, 30),
    ("cat", 40, 6, 8, 30),
    ("dog", 70, 50, 90, 70),
    ("dog", 20, 20, 20, 40),
    ("cat", 100, 0, 120, 20),
    ("cat", "nan", 0, 12, 20),
]


def write_faulty(folder: Path, objects: Any, **given: Any) -> Path:
    folder.mkdir()
    picture([]).save(folder / "one.png")
    (folder / "one.xml").write_text(xml(objects, **given))
    return folder


def test_faulty_boxes_are_mended_named_and_counted(tmp_path: Path) -> None:
    data = read(write_faulty(tmp_path / "faulty", FAULTY))
    assert found(data) == [
        [
            ("cat", 8.0, 6.0, 40.0, 30.0),
            ("cat", 8.0, 6.0, 40.0, 30.0),
            ("dog", 70.0, 50.0, 80.0, 60.0),
        ]
    ]
    assert "1 box flipped is turned around" in data.note
    assert "one.xml: object 4: dog (20, 20, 20, 40)" in data.note
    counts = {key: value for key, value in data.counts.items() if key.startswith("boxes_")}
    assert counts == {
        "boxes_flipped": 1, "boxes_beyond_the_edge": 1, "boxes_without_area": 1,
        "boxes_outside_of_the_picture": 1, "boxes_without_four_finite_edges": 1,
    }  # fmt: skip


def test_a_flag_decides_otherwise_on_faulty_boxes(tmp_path: Path) -> None:
    folder = write_faulty(tmp_path / "faulty", FAULTY)
    assert found(read(folder, on_faulty="skip")) == [[("cat", 8.0, 6.0, 40.0, 30.0)]]
    with pytest.raises(DataError) as caught:
        read(folder, on_faulty="fail")
    assert len(caught.value.faults) == 6
    assert "object 3: dog (70, 50, 90, 70): is beyond the edge" in str(caught.value)
    assert "5 of 6 boxes are faulty" in caught.value.faults[-1]
    assert "--on-faulty skip" in caught.value.faults[-1]


def test_classes_that_the_training_has_not_are_refused_or_left_out(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "voc")
    with pytest.raises(DataError, match=r"object 2: dog \(48, 30, 72, 54\): is of an unknown"):
        read(folder, classes=["cat"])
    data = read(folder, classes=["cat"], on_faulty="skip")
    assert found(data) == [[("cat", 8.0, 6.0, 40.0, 30.0)], [], []]
    assert data.counts["boxes_of_an_unknown_class"] == 2


def test_boxes_are_those_of_the_picture_as_it_is_shown(tmp_path: Path) -> None:
    """A camera that is held upright stores a lying picture, and says so in EXIF."""
    shown = [("cat", 5, 10, 25, 70)]  # of 60 x 80
    for orientation in range(1, 9):
        folder = tmp_path / str(orientation)
        folder.mkdir()
        whole = picture(shown, (60, 80))
        back = {
            2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }  # fmt: skip
        stored = whole.transpose(back[orientation]) if orientation in back else whole
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.save(folder / "one.jpg", quality=95, exif=exif)
        (folder / "one.xml").write_text(xml(shown, (60, 80)))
        data = read(folder, side=80)
        assert found(data) == [[("cat", 5.0, 10.0, 25.0, 70.0)]]
        x, y = data.take(np.array([0]))
        assert covers(x[0], y[0], "cat"), orientation


def test_boxes_given_as_the_file_is_stored_are_turned(tmp_path: Path) -> None:
    shown = [("cat", 5, 10, 25, 70)]
    stored = picture(shown, (60, 80)).transpose(Image.Transpose.ROTATE_90)  # 80 x 60
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(tmp_path / "one.jpg", quality=95, exif=exif)
    red = np.argwhere(np.asarray(stored)[..., 1] < 128)
    (top, left), (bottom, right) = red.min(axis=0), red.max(axis=0) + 1
    (tmp_path / "one.xml").write_text(xml([("cat", left, top, right, bottom)], (80, 60)))
    data = read(tmp_path, side=80)
    assert found(data) == [[("cat", 5.0, 10.0, 25.0, 70.0)]]
    assert data.counts["boxes_turned"] == 1


def test_boxes_for_another_size_are_scaled_and_for_another_shape_refused(tmp_path: Path) -> None:
    folder = write_faulty(tmp_path / "big", [("cat", 16, 12, 80, 60)], size=(160, 120))
    data = read(folder)
    assert found(data) == [[("cat", 8.0, 6.0, 40.0, 30.0)]]
    assert data.counts["boxes_scaled"] == 1
    other = write_faulty(tmp_path / "other", [("cat", 16, 12, 80, 60)], size=(100, 100))
    with pytest.raises(DataError, match=r"for 100 x 100 pixels, the picture has 80 x 60"):
        read(other)
    assert found(read(other, on_faulty="skip")) == [[]]


def covers(x: Array, y: Array, label: str) -> bool:
    """Whether the pixels of an object's colour fill its box, and nothing beside it."""
    apart = np.abs(x.astype(int) - np.array(COLOURS[label])[:, None, None]).max(axis=0)
    rows, columns = np.nonzero(apart < 90)
    side = x.shape[1]
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return bool(np.abs(np.array(seen) - y[0, 1:] * side).max() <= 2)


@pytest.mark.parametrize(
    "changes",
    [
        Changes(flip=True), Changes(crop=1.0), Changes(expand=1.0),
        Changes(flip=True, crop=0.5, expand=0.5, colour=0.2),
    ],
    ids=["flip", "crop", "expand", "all"],
)  # fmt: skip
def test_boxes_stay_around_their_objects(changes: Changes, tmp_path: Path) -> None:
    """Told by drawing: an object fills its box, whatever was done to the picture."""
    for number in range(4):
        objects = [("cat", 6 + 9 * number, 4 + 5 * number, 36 + 9 * number, 30 + 5 * number)]
        picture(objects).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.xml").write_text(xml(objects))
    data = read(tmp_path, side=120)
    plain, _ = data.take(np.arange(4))
    changed = 0
    for epoch in range(8):
        drawn = Augmented(data, changes).drawn(np.random.default_rng(epoch))
        x, y = drawn.take(np.arange(4))
        changed += sum((one != other).any() for one, other in zip(x, plain))
        for example, rows in zip(x, y):
            assert rows[0, 0] == 0
            assert covers(example, rows, "cat")
    assert changed >= 8


def test_a_mosaic_has_the_boxes_of_all_four(tmp_path: Path) -> None:
    for number, label in enumerate(["cat", "dog"] * 2):
        objects = (
            [(label, 20, 15, 60, 45), (label, 0, 0, 1, 1)] if number else [(label, 4, 4, 9, 9)]
        )
        picture(objects).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.xml").write_text(xml(objects * (4 if number == 3 else 1)))
    data = read(tmp_path, side=120)
    assert data.most == 8
    x, y = Augmented(data, Changes(mosaic=1.0)).drawn(np.random.default_rng(0)).take(np.arange(4))
    several = 0
    for example, rows in zip(x, y):
        rows = rows[rows[:, 0] >= 0]
        several += len(rows) > 2
        for label, left, top, right, bottom in rows.tolist():
            middle = example[:, int((top + bottom) * 60), int((left + right) * 60)]
            assert np.abs(middle.astype(int) - COLOURS[NAMES[int(label)]]).max() < 90
    assert several


def test_what_is_drawn_goes_by_seed_and_example_alone(tmp_path: Path) -> None:
    data = read(write_voc(tmp_path / "voc"))
    part = Subset(data, np.array([2, 0]))
    changes = Changes(True, 0.5, 0.5, 0.5, 0.3)
    whole = Augmented(part, changes).drawn(np.random.default_rng(3))
    again = Augmented(part, changes).drawn(np.random.default_rng(3))
    both = whole.take(np.array([0, 1]))
    for place in (0, 1):
        alone = again.take(np.array([place]))
        assert all((one[place] == other[0]).all() for one, other in zip(both, alone))
    assert whole.digest() == part.digest()


def test_colours_change_by_so_much() -> None:
    grey = np.full((4, 4, 3), 100, np.uint8)
    rng = np.random.default_rng(0)
    found = [int(coloured(grey, rng, 0.2)[0, 0, 0]) for _ in range(50)]
    assert min(found) >= 100 * 0.8 * 0.8 - 127.5 * 0.2 - 1
    assert max(found) <= 100 * 1.2 * 1.2 + 127.5 * 0.2 + 1
    assert len({*found}) > 10


def test_a_picture_without_objects_and_one_of_five_hundred(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 50, (500, 2))
    many = [("cat", x, y, x + 5, y + 5) for x, y in corners.tolist()]
    write_faulty(tmp_path / "many", many)
    picture([], (1, 1)).save(tmp_path / "many" / "two.png")
    (tmp_path / "many" / "two.xml").write_text(xml([], (1, 1)))
    picture([]).convert("CMYK").save(tmp_path / "many" / "three.jpg")
    (tmp_path / "many" / "three.xml").write_text(xml([]))
    data = read(tmp_path / "many")
    assert sorted(map(len, data.boxes)) == [0, 0, 500]
    assert data.most == 500
    x, y = Augmented(data, Changes(True, 1.0, 0.5, 0.5, 0.2)).drawn(rng).take(np.arange(3))
    assert (x.shape, y.shape) == ((3, 3, 40, 40), (3, 500, 5))


def test_damaged_pictures_are_named_or_left_out_with_their_boxes(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "voc")
    (folder / "JPEGImages" / "0.png").write_bytes(png([])[:60])
    (folder / "JPEGImages" / "1.png").unlink()
    with pytest.raises(DataError, match=r"1\.xml: there is no picture 1"):
        read(folder)
    data = read(folder, on_damaged="skip")
    assert found(data) == [[("dog", 0.0, 0.0, 80.0, 60.0)]]
    assert (data.counts["damaged"], data.counts["left_out"]) == (1, 1)


def test_a_picture_of_20_000_pixels_a_side_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_faulty(tmp_path / "huge", [("cat", 16, 12, 80, 60)])
    Image.new("1", (20_000, 20_000)).save(folder / "one.png")
    with pytest.raises(DataError, match=r"one\.png: the image has 20000 x 20000"):
        read(folder)


WRONG: dict[str, tuple[str, str, str]] = {
    "no XML": ("a.xml", "<annotation", "a.xml: is no XML"),
    "a bomb": ("a.xml", '<!DOCTYPE a [<!ENTITY b "b">]><annotation/>', "has a DOCTYPE"),
    "no name": ("a.xml", "<annotation><object/></annotation>", "object 1 has no <name>"),
    "a class list": ("a.lst", "0\t3\ta.png\n", "line 1: has 1 label"),
    "cut labels": ("a.lst", "0\t2\t5\t1\t0.1\ta.png\n", "line 1: its 4 labels"),
    "words": ("a.lst", "0\t2\t5\tcat\t0\t0\t1\t1\ta.png\n", "line 1: 'cat' is no number"),
    "outside": ("a.lst", "0\t2\t5\t1\t0\t0\t1\t1\t../a.png\n", "lies outside of"),
    "no labels": ("a.manifest", '{"source-ref": "a.png"}\n', "expected a label with annotations"),
    "an outline": ("a.txt", "0 0.1 0.1 0.2 0.2 0.3 0.3\n", "is an outline, not a box"),
    "no JSON": ("a.json", "[", "a.json: is no JSON"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_with_a_file_is_said_with_its_place(what: str, tmp_path: Path) -> None:
    name, content, said = WRONG[what]
    (tmp_path / name).write_text(content)
    picture([]).save(tmp_path / "a.png")
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert said in str(caught.value)


def test_ground_truth_says_what_it_has_not_labelled(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "manifest")
    failed = {"source-ref": "x.png", "boxes-metadata": {"failure-reason": "no worker"}}
    with path.open("a") as stream:
        stream.write(json.dumps(failed) + "\n")
    with pytest.raises(DataError, match=r"line 4: Ground Truth has not labelled it: 'no worker'"):
        read(path)
    assert read(path, on_damaged="skip").counts["left_out"] == 1


def test_drawn_boxes_lie_on_their_edges() -> None:
    grey = np.full((400, 400, 3), 128, np.uint8)
    shown = with_boxes(grey, [Caption((0.25, 0.25, 0.75, 0.75), "cat 90%", 1)])
    assert shown.shape == grey.shape
    assert tuple(shown[200, 100]) == tuple(shown[200, 300]) == (86, 180, 233)
    assert tuple(shown[200, 200]) == (128, 128, 128)
    assert with_boxes(grey[:1, :1], [Caption((0.0, 0.0, 1.0, 1.0), "cat", 0)]).size
