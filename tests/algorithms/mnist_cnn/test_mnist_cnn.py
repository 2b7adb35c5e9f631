"""mnist-cnn: what it reads, what it refuses, what it answers."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from algoshelf.algorithms.mnist_cnn import MnistCnn
from algoshelf.core import ArrayDataset, DataError, UnfitPayloadError, codecs
from PIL import Image

from tests.conftest import SAMPLE, InProcess, write_idx

Digits = tuple[np.ndarray, np.ndarray]


def read(path: Path, channel: str) -> ArrayDataset:
    return MnistCnn().dataset(path, channel, MnistCnn.Hyperparameters.parse({}))


def write_csv(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    rows = np.concatenate([labels[:, None], images.reshape(len(images), -1)], axis=1)
    np.savetxt(path, rows, fmt="%d", delimiter=",")


def as_idx(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    write_idx(folder / "train-images-idx3-ubyte.gz", images)
    write_idx(folder / "train-labels-idx1-ubyte", labels)
    return folder


def as_csv(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    write_csv(folder / "digits.csv", images, labels)
    return folder / "digits.csv"


def as_csv_folder(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    write_csv(folder / "a.csv", images[:40], labels[:40])
    write_csv(folder / "b.csv", images[40:], labels[40:])
    header = ",".join(["label", *(f"pixel{i}" for i in range(784))])
    (folder / "b.csv").write_text(header + "\r\n" + (folder / "b.csv").read_text())
    return folder


def as_npz(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    np.savez_compressed(folder / "digits.npz", x=images / np.float32(255), y=labels.astype("i8"))
    return folder / "digits.npz"


def as_pictures(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    for number, (image, label) in enumerate(zip(images, labels)):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / str(label) / f"{number:03}.png")
    return folder


@pytest.mark.parametrize("write", [as_idx, as_csv, as_csv_folder, as_npz, as_pictures])
def test_every_format_reads_the_same_digits(
    write: Callable[..., Path], digits: Digits, tmp_path: Path
) -> None:
    images, labels = digits
    data = read(write(tmp_path, images, labels), "train")
    assert data.x.dtype == np.float32
    assert data.x.shape == (100, 1, 28, 28)
    np.testing.assert_allclose(data.x[:, 0] * 255, images, atol=1e-4)
    np.testing.assert_array_equal(data.y, labels)
    assert data.y.dtype == np.int32


def test_one_folder_of_idx_files_serves_every_channel() -> None:
    assert len(read(SAMPLE, "train")) == 8000
    assert len(read(SAMPLE, "test")) == 2000
    assert len(read(SAMPLE, "validation")) == 2000


def cut_short(folder: Path) -> str:
    name = "train-images-idx3-ubyte.gz"
    content = gzip.decompress((SAMPLE / name).read_bytes())
    (folder / name).write_bytes(gzip.compress(content[:-1000], 1))
    shutil.copy(SAMPLE / "train-labels-idx1-ubyte.gz", folder)
    return name


def gz_cut_short(folder: Path) -> str:
    name = "train-images-idx3-ubyte.gz"
    (folder / name).write_bytes((SAMPLE / name).read_bytes()[:100_000])
    shutil.copy(SAMPLE / "train-labels-idx1-ubyte.gz", folder)
    return name


def different_counts(folder: Path) -> str:
    shutil.copy(SAMPLE / "train-images-idx3-ubyte.gz", folder)
    shutil.copy(SAMPLE / "t10k-labels-idx1-ubyte.gz", folder / "train-labels-idx1-ubyte.gz")
    return "train-labels-idx1-ubyte.gz: 8,000 images, but 2,000 labels"


def labels_missing(folder: Path) -> str:
    shutil.copy(SAMPLE / "train-images-idx3-ubyte.gz", folder)
    return "train-images-idx3-ubyte.gz"


def not_idx(folder: Path) -> str:
    (folder / "train-images-idx3-ubyte").write_bytes(b"<html>not found</html>")
    (folder / "train-labels-idx1-ubyte").write_bytes(b"<html>not found</html>")
    return "train-images-idx3-ubyte: not an IDX file"


def csv_with(folder: Path, line: int, text: str) -> Path:
    lines = [",".join(["3", *["0"] * 784])] * 10
    lines[line - 1] = text
    (folder / "digits.csv").write_text("\n".join(lines))
    return folder


def csv_wrong_columns(folder: Path) -> str:
    csv_with(folder, 7, ",".join(["3", *["0"] * 783]))
    return "digits.csv: line 7"


def csv_wrong_label(folder: Path) -> str:
    csv_with(folder, 4, ",".join(["12", *["0"] * 784]))
    return "digits.csv: line 4: the label 12"


def csv_word_as_label(folder: Path) -> str:
    csv_with(folder, 5, ",".join(["seven", *["0"] * 784]))
    return "digits.csv: line 5"


def csv_intensity_out_of_range(folder: Path) -> str:
    csv_with(folder, 5, ",".join(["1", *["300"] * 784]))
    return "digits.csv: line 5 has intensities from 300"


def csv_empty(folder: Path) -> str:
    (folder / "digits.csv").touch()
    return "digits.csv: holds no rows"


def pickled_npz(folder: Path) -> str:
    class Harmful:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (folder / "unpickled",))

    objects = np.array([Harmful()], dtype=object)
    np.savez(folder / "digits.npz", x=objects, y=np.zeros(1, int))
    return "digits.npz: holds pickled Python objects"


def pickle_named_npz(folder: Path) -> str:
    (folder / "digits.npz").write_bytes(pickle.dumps({"x": 1}))
    return "digits.npz"


def npz_without_labels(folder: Path) -> str:
    np.savez(folder / "digits.npz", x=np.zeros((3, 28, 28), np.uint8))
    return "digits.npz: holds no array 'y', only x"


def npz_wrong_shape(folder: Path) -> str:
    np.savez(folder / "digits.npz", x=np.zeros((3, 32, 32), np.uint8), y=np.zeros(3, int))
    return "digits.npz: expected images of 28 x 28"


def npz_label_that_is_no_digit(folder: Path) -> str:
    np.savez(folder / "digits.npz", x=np.zeros((3, 28, 28), np.uint8), y=np.array([1, 10, 2]))
    return "digits.npz: the label of example 2 is 10"


def npz_cut_short(folder: Path) -> str:
    np.savez(folder / "digits.npz", x=np.zeros((3, 28, 28), np.uint8), y=np.zeros(3, int))
    content = (folder / "digits.npz").read_bytes()
    (folder / "digits.npz").write_bytes(content[: len(content) // 2])
    return "digits.npz"


def damaged_picture(folder: Path) -> str:
    (folder / "3").mkdir()
    (folder / "3" / "three.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return "three.png"


def folder_of_no_digit(folder: Path) -> str:
    (folder / "cat").mkdir()
    Image.new("L", (28, 28)).save(folder / "cat" / "tom.png")
    return "cat: a subfolder of images is named by its digit"


def empty_folder(folder: Path) -> str:
    return f"{folder}: holds no digits"


def label_last(folder: Path) -> str:
    rows = [",".join([*["0"] * 784, str(number % 10)]) for number in range(20)]
    (folder / "digits.csv").write_text("\n".join(rows))
    return (
        "digits.csv: column 1, taken for the label, is 0 in every row, and column 785 holds whole "
        "numbers from 0 to 9: --label-column 785 takes that"
    )


def label_last_and_no_label_first(folder: Path) -> str:
    rows = [",".join([*["200"] * 784, str(number % 10)]) for number in range(20)]
    (folder / "digits.csv").write_text("\n".join(rows))
    return "more); column 785 holds such numbers: --label-column 785 takes that"


def one_digit_only(folder: Path) -> str:
    np.savez(folder / "digits.npz", x=np.zeros((3, 28, 28), np.uint8), y=np.array([4, 4, 4]))
    return "all 3 examples are of one class ('4'): expected two at least"


def too_few_to_hold_out(folder: Path) -> str:
    np.savez(folder / "digits.npz", x=np.zeros((3, 28, 28), np.uint8), y=np.array([1, 1, 2]))
    return "class '2' has only one example"


WRONG = [
    cut_short,
    gz_cut_short,
    different_counts,
    labels_missing,
    not_idx,
    csv_wrong_columns,
    csv_wrong_label,
    csv_word_as_label,
    csv_intensity_out_of_range,
    csv_empty,
    pickled_npz,
    pickle_named_npz,
    npz_without_labels,
    npz_wrong_shape,
    npz_label_that_is_no_digit,
    npz_cut_short,
    damaged_picture,
    folder_of_no_digit,
    empty_folder,
    label_last,
    label_last_and_no_label_first,
    one_digit_only,
    too_few_to_hold_out,
]


@pytest.mark.parametrize("make", WRONG, ids=lambda make: make.__name__)
def test_wrong_data_exits_2_names_the_file_and_leaves_nothing(
    make: Callable[[Path], str], in_process: InProcess, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    expected = make(data)
    result = in_process("train", "mnist-cnn", "--train", data, "--output", "models/out")
    assert result.code == 2, result.stderr
    assert expected in result.stderr
    assert result.stderr.count("error:") == 1
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert not (data / "unpickled").exists()


def test_without_permission_the_file_is_named(tmp_path: Path, digits: Digits) -> None:
    path = as_csv(tmp_path, *digits)
    path.chmod(0)
    try:
        path.read_bytes()
    except PermissionError:
        with pytest.raises(DataError, match=r"digits\.csv: cannot be read"):
            read(path, "train")
    else:
        pytest.skip("root may read everything")


def bodies(images: np.ndarray) -> dict[str, bytes]:
    picture = io.BytesIO()
    Image.fromarray(images[0]).save(picture, "PNG")
    photograph = io.BytesIO()
    Image.fromarray(images[0]).resize((56, 56)).convert("RGB").save(photograph, "JPEG", quality=95)
    web = io.BytesIO()
    Image.fromarray(images[0]).save(web, "WEBP", lossless=True)
    array = io.BytesIO()
    np.save(array, images)
    lists = images.tolist()
    return {
        codecs.PNG: picture.getvalue(),
        codecs.JPEG: photograph.getvalue(),
        codecs.WEBP: web.getvalue(),
        codecs.JSON: json.dumps({"instances": lists}).encode(),
        codecs.JSONLINES: "\n".join(map(json.dumps, lists)).encode(),
        codecs.CSV: "\n".join(",".join(map(str, image.ravel())) for image in images).encode(),
        codecs.NPY: array.getvalue(),
    }


def test_every_declared_content_type_gives_the_same_images(digits: Digits) -> None:
    images = digits[0][:5]
    algorithm = MnistCnn()
    sent = bodies(images)
    assert set(sent) == set(algorithm.accepted_media_types())
    for content_type, body in sent.items():
        batch = algorithm.input_fn(body, content_type)
        assert batch.dtype == np.float32
        assert batch.shape[1:] == (1, 28, 28)
        difference = np.abs(batch - images[: len(batch), None] / 255)
        assert difference.mean() < (0.05 if content_type == codecs.JPEG else 1e-7)


def test_intensities_from_0_to_1_mean_the_same(digits: Digits) -> None:
    images = digits[0][:3]
    algorithm = MnistCnn()
    scaled = json.dumps((images / 255).tolist()).encode()
    np.testing.assert_allclose(
        algorithm.input_fn(scaled, codecs.JSON), images[:, None] / 255, atol=1e-6
    )


@pytest.mark.parametrize(
    "body", ["[1, 2, 3]", "[[1, 2, 3]]", json.dumps([[-1.0] * 784]), json.dumps([[256] * 784])]
)
def test_an_unfit_body_is_refused(body: str) -> None:
    with pytest.raises(UnfitPayloadError):
        MnistCnn().input_fn(body.encode(), codecs.JSON)


def test_answers_in_every_declared_content_type_agree(model: Path, digits: Digits) -> None:
    algorithm = MnistCnn()
    loaded = algorithm.model_fn(model)
    prediction = algorithm.predict_fn(digits[0][:4, None] / np.float32(255), loaded)
    assert set(algorithm.response_media_types()) == {
        codecs.JSON,
        codecs.JSONLINES,
        codecs.CSV,
        codecs.NPY,
    }
    array = np.load(io.BytesIO(algorithm.output_fn(prediction, codecs.NPY)))
    assert array.shape == (4, 10)
    np.testing.assert_allclose(array.sum(axis=1), 1, atol=1e-5)
    rows = json.loads(algorithm.output_fn(prediction, codecs.JSON))["predictions"]
    lines = algorithm.output_fn(prediction, codecs.JSONLINES).decode().splitlines()
    assert [json.loads(line) for line in lines] == rows
    for row, probabilities in zip(rows, array):
        assert row["label"] == str(probabilities.argmax())
        assert row["probability"] == pytest.approx(probabilities.max(), rel=1e-6)
        assert list(row["probabilities"]) == list("0123456789")
    table = algorithm.output_fn(prediction, codecs.CSV).decode().splitlines()
    assert [line.split(",")[0] for line in table] == [row["label"] for row in rows]


def test_a_batch_is_answered_as_one_by_one(model: Path, digits: Digits) -> None:
    algorithm = MnistCnn()
    loaded = algorithm.model_fn(model)
    images = digits[0][:, None] / np.float32(255)
    together = algorithm.predict_fn(np.tile(images, (4, 1, 1, 1)), loaded).values[:100]
    alone = np.concatenate(
        [algorithm.predict_fn(images[i : i + 1], loaded).values for i in range(100)]
    )
    np.testing.assert_allclose(together, alone, atol=1e-5)


# Ink on paper


def drawn(pixels: np.ndarray, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def enlarged(image: np.ndarray) -> np.ndarray:
    """(28, 28) uint8 as (280, 280) float in [0, 1], as far as each is ink."""
    return np.asarray(Image.fromarray(image).resize((280, 280))) / 255


def black_on_white(image: np.ndarray) -> tuple[bytes, str]:
    return drawn(255 - image), codecs.PNG


def grey_paper(image: np.ndarray) -> tuple[bytes, str]:
    return drawn((165 - 130 * enlarged(image)).astype(np.uint8)), codecs.PNG


def photograph(image: np.ndarray) -> tuple[bytes, str]:
    """A blue pen on yellowish paper, lit from one side."""
    ink = enlarged(image)[..., None]
    light = np.linspace(1, 0.85, 280)[None, :, None]
    pixels = (np.array([225, 220, 200]) * (1 - ink) + np.array([30, 50, 170]) * ink) * light
    grain = np.random.default_rng(0).normal(0, 4, (280, 280, 1))
    return drawn(np.clip(pixels + grain, 0, 255).astype(np.uint8), "JPEG"), codecs.JPEG


def see_through(image: np.ndarray, ink: int = 0) -> tuple[bytes, str]:
    pixels = np.full((28, 28, 4), ink, np.uint8)
    pixels[..., 3] = image
    return drawn(pixels), codecs.PNG


def white_ink_see_through(image: np.ndarray) -> tuple[bytes, str]:
    return see_through(image, 255)


def numbers(image: np.ndarray) -> tuple[bytes, str]:
    return json.dumps([(1 - image / 255).tolist()]).encode(), codecs.JSON


PAPERS = [black_on_white, grey_paper, photograph, see_through, numbers]


@pytest.mark.parametrize("paper", [*PAPERS, white_ink_see_through], ids=lambda make: make.__name__)
def test_ten_digits_on_paper_are_read_as_in_white_on_black(
    paper: Callable[[np.ndarray], tuple[bytes, str]], model: Path, digits: Digits
) -> None:
    algorithm = MnistCnn()
    loaded = algorithm.model_fn(model)
    images, labels = digits
    known = algorithm.predict_fn(images[:, None] / np.float32(255), loaded)
    sure = [int(np.argmax(np.where(labels == d, known.values[:, d], 0))) for d in range(10)]
    for digit, index in enumerate(sure):
        body, content_type = paper(images[index])
        prediction = algorithm.predict_fn(algorithm.input_fn(body, content_type), loaded)
        [row] = json.loads(algorithm.output_fn(prediction, codecs.JSON))["predictions"]
        assert row["label"] == str(digit)
        assert row.get("inverted", False) == (paper in PAPERS)


def test_mnists_own_images_are_not_inverted_and_all_of_its_negatives_are() -> None:
    from algoshelf.algorithms.mnist_cnn import data as module

    data = read(SAMPLE, "train")
    assert "inverted" not in data.counts
    for channel in ("train", "test"):
        images = module.read(SAMPLE, channel, "no").x
        assert not module.inverted(images, "auto")[1].any()
        back, chosen = module.inverted(1 - images, "auto")
        assert chosen.all()
        assert np.abs(back - images).max() < 0.02  # of the few whose ink is not wholly white


@pytest.mark.parametrize("invert", [False, True])
def test_pictures_of_one_ground_are_inverted_all_or_none(
    invert: bool, digits: Digits, tmp_path: Path
) -> None:
    """Of digits that shrink to two pixels, 40 of 100 were inverted by what scaling left of them."""
    margins = ((200, 200), (50, 300))
    for number, (image, label) in enumerate(zip(*digits)):
        paper = np.pad(255 - image if invert else image, margins, constant_values=230 * invert)
        (tmp_path / str(label)).mkdir(exist_ok=True)
        Image.fromarray(paper).save(tmp_path / str(label) / f"{number}.png")
    data = read(tmp_path, "train")
    assert data.counts.get("inverted", 0) == (100 if invert else 0)
    assert data.x[:, 0, 0].max() < 0.2


def test_pictures_of_two_grounds_are_told_one_by_one(digits: Digits, tmp_path: Path) -> None:
    images, labels = digits
    np.savez(tmp_path / "x.npz", x=np.concatenate([images, 255 - images[:50]]),
             y=np.concatenate([labels, labels[:50]]))  # fmt: skip
    data = read(tmp_path / "x.npz", "train")
    assert data.counts == {"inverted": 50}
    np.testing.assert_allclose(data.x[100:], data.x[:50], atol=0.02)


@pytest.mark.parametrize("write", [as_csv, as_pictures])
def test_digits_that_are_hardly_to_be_seen_are_counted_and_named(
    write: Callable[..., Path], digits: Digits, tmp_path: Path
) -> None:
    images, labels = digits
    data = read(write(tmp_path, images // 16, labels), "train")
    assert data.counts == {"dim": 100}
    assert "100 pictures are hardly to be seen, with tones less than 10% of black to w" in data.note
    assert "example 1, example 2" in data.note
    assert "scale intensities to 0 to 255" in data.note


def test_a_request_decides_itself_whether_it_is_inverted(model: Path, digits: Digits) -> None:
    algorithm = MnistCnn()
    loaded = algorithm.model_fn(model)
    image = digits[0][25]
    for content_type, negative, read_as in (
        ("image/png", True, image),
        ("image/png; invert=auto", True, image),
        ('image/png; invert="yes"', True, image),
        ("image/png; invert=no", True, 255 - image),
        ("image/png;charset=x;Invert=NO", False, image),
        ("image/png; invert=yes", False, 255 - image),
    ):
        body = drawn(255 - image if negative else image)
        answer = algorithm.predict_fn(algorithm.input_fn(body, content_type), loaded)
        expected = algorithm.predict_fn([read_as[None] / np.float32(255)], loaded)
        np.testing.assert_allclose(answer.values, expected.values, atol=0.02)
    with pytest.raises(UnfitPayloadError, match="invert is 'maybe': expected auto, yes or no"):
        algorithm.input_fn(drawn(image), "image/png; invert=maybe")


def test_a_model_trained_on_paper_as_it_is_answers_paper_as_it_is(
    in_process: InProcess, few: Path, tmp_path: Path
) -> None:
    """What ``invert`` was in training, it is for requests that don't say."""
    with np.load(few) as arrays:
        np.savez(tmp_path / "paper.npz", x=255 - arrays["x"][:200], y=arrays["y"][:200])
    common = ("train", "mnist-cnn", "--train", tmp_path / "paper.npz", "--epochs", 1, "--json")
    told = in_process(*common, "--output", "inverted")
    assert "train: 200 examples (200 inverted, as dark ink on a bright ground)" in told.stderr
    assert told.json["examples"] == {"train": {"examples": 200, "inverted": 200}}
    plain = in_process(*common, "--invert", "no", "--output", "plain")
    assert plain.json["examples"] == {"train": {"examples": 200}}
    body = tmp_path / "nine.png"
    with np.load(few) as arrays:
        body.write_bytes(drawn(255 - arrays["x"][0]))
    assert in_process("predict", "inverted", body).json["inverted"] is True
    assert "inverted" not in in_process("predict", "plain", body).json
    told = in_process("predict", "inverted", body, "--content-type", "image/png; invert=no")
    assert "inverted" not in told.json
    assert in_process("predict", "inverted").code == 0  # its own example


def test_damaged_pictures_are_all_named_or_left_out(
    in_process: InProcess, digits: Digits, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    as_pictures(data, *digits)
    spoiled = [data / "3" / "030.png", data / "3" / "031.png", data / "9" / "090.png"]
    for path in spoiled:
        path.write_bytes(path.read_bytes()[:80])
    (data / "5" / "more").mkdir()
    Image.fromarray(digits[0][0]).save(data / "5" / "more" / "x.gif")
    common = ("train", "mnist-cnn", "--train", data, "--epochs", 1, "--json", "--output", "m")
    refused = in_process(*common)
    assert refused.code == 2
    for path in spoiled:
        assert f"{path}: the image is corrupt or truncated" in refused.stderr
    assert "3 of 100 images are damaged" in refused.stderr
    told = in_process(*common, "--on-damaged", "skip")
    assert told.code == 0, told.stderr
    assert told.json["examples"]["train"] == {"examples": 97, "left_out": 1, "damaged": 3}
    assert "1 file is left out: 1 GIF; 3 damaged of 100 left out" in told.stderr
