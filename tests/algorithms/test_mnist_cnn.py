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
    return "digits.csv: image 5 has intensities from 300"


def csv_empty(folder: Path) -> str:
    (folder / "digits.csv").touch()
    return "digits.csv: holds no examples"


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


def too_few_to_hold_out(folder: Path) -> str:
    np.savez(folder / "digits.npz", x=np.zeros((3, 28, 28), np.uint8), y=np.array([1, 1, 2]))
    return "class '2' has one example"


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
    array = io.BytesIO()
    np.save(array, images)
    lists = images.tolist()
    return {
        codecs.PNG: picture.getvalue(),
        codecs.JPEG: photograph.getvalue(),
        codecs.JSON: json.dumps({"instances": lists}).encode(),
        codecs.JSONLINES: "\n".join(map(json.dumps, lists)).encode(),
        codecs.CSV: "\n".join(",".join(map(str, image.ravel())) for image in images).encode(),
        codecs.NPY: array.getvalue(),
    }


def test_every_declared_content_type_gives_the_same_images(digits: Digits) -> None:
    images = digits[0][:5]
    algorithm = MnistCnn()
    sent = bodies(images)
    assert set(sent) == set(algorithm.accepted())
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
    assert set(algorithm.answered()) == {codecs.JSON, codecs.JSONLINES, codecs.CSV, codecs.NPY}
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
