"""image-classification: every format of a channel and of a request, and weights to begin with."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.algorithms.image_classification import (
    ImageClassification,
    networks,
    pretrained,
    weights,
)
from algoshelf.algorithms.image_classification import (
    data as pictures,
)
from algoshelf.core import DataError, HyperparameterError, Reporter, codecs, mx, train
from algoshelf.core.runtime import params
from algoshelf.registry import pretrained_weights
from PIL import Image

from tests.conftest import ROOT, Algoshelf, InProcess

if importlib.util.find_spec("gluoncv") is None:
    pytest.skip("image-classification needs GluonCV", allow_module_level=True)
SAMPLE = ROOT / "algorithms" / "image_classification" / "sample"
QUICK = {"epochs": "1", "batch_size": "32"}
Parsed = ImageClassification.Hyperparameters.parse


@pytest.fixture(scope="module")
def photos() -> tuple[np.ndarray, np.ndarray]:
    """Real pictures (300, 32, 32, 3) uint8 and labels (300,)."""
    rows = np.frombuffer(gzip.decompress((SAMPLE / "test_batch.bin.gz").read_bytes()), np.uint8)
    rows = rows.reshape(-1, 3073)
    return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photos: tuple[np.ndarray, np.ndarray]) -> Path:
    """Three classes with twenty pictures each."""
    root = tmp_path_factory.mktemp("photos")
    for label, name in ((0, "plane"), (3, "cat"), (8, "ship")):
        (root / name).mkdir()
        for number, picture in enumerate(photos[0][photos[1] == label][:20]):
            Image.fromarray(picture).save(root / name / f"{number:02}.png")
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    output = tmp_path_factory.mktemp("trained") / "m"
    settings = Parsed({**QUICK, "top_k": "2", "mixup": "0.2", "label_smoothing": "0.1"})
    train(ImageClassification(), {"train": folder}, settings, output, reporter=Reporter())
    return output


def read(path: Path, **settings: Any) -> Any:
    return ImageClassification().dataset(path, "train", Parsed(settings))


def test_the_networks_are_those_of_the_zoos() -> None:
    from gluoncv.model_zoo import model_zoo

    zoo = set(model_zoo._models)
    ours = {"cifar_resnet12_v1_wide", "airbench"}
    assert {n for n in networks.NETWORKS if not n.startswith("gluon:")} - ours <= zoo
    for name in ("cifar_resnet20_v1", *ours, "gluon:mobilenetv2_0.25", "resnet18_v1b"):
        built = networks.build(name, 7)
        head = networks.output_layer(name, 7)
        assert 1 <= len(head) <= 2
        assert head < set(built._collect_params_with_prefix())


def test_an_unknown_network_gets_a_suggestion() -> None:
    with pytest.raises(HyperparameterError, match=r"did you mean 'cifar_resnet20_v1'"):
        Parsed({"network": "cifar_resnet20v1"})


def test_the_forms_of_a_channel_hold_the_same(
    tmp_path: Path, folder: Path, photos: tuple[np.ndarray, np.ndarray]
) -> None:
    expected = read(folder)
    every = np.arange(len(expected))
    x, y = expected.take(every)
    assert (x.shape, x.dtype, list(expected.encoding["classes"])) == (
        (60, 3, 32, 32), np.uint8, ["cat", "plane", "ship"],
    )  # fmt: skip
    files = [(path, name) for name in ("cat", "plane", "ship")
             for path in sorted((folder / name).iterdir())]  # fmt: skip
    listed = folder / "list.lst"
    numbers = {"cat": 0, "plane": 1, "ship": 2}
    lines = [
        f"{number}\t{numbers[name]}\t{path.relative_to(folder)}\n"
        for number, (path, name) in enumerate(files)
    ]
    listed.write_text("".join(lines))
    manifest = folder / "out.manifest"
    manifest.write_text("".join(
        json.dumps({"source-ref": str(path.relative_to(folder)), "kind": numbers[name],
                    "kind-metadata": {"class-name": name, "type": "groundtruth"}}) + "\n"
        for path, name in files
    ))  # fmt: skip
    record = mx.recordio.MXRecordIO(str(tmp_path / "pack.rec"), "w")
    for i, (path, name) in enumerate(files):
        header = mx.recordio.IRHeader(0, float(numbers[name]), i, 0)
        record.write(mx.recordio.pack(header, path.read_bytes()))
    record.close()
    for path, names in (
        (listed, ["0", "1", "2"]),
        (manifest, ["cat", "plane", "ship"]),
        (tmp_path / "pack.rec", ["0", "1", "2"]),
    ):
        found = read(path)
        assert list(found.encoding["classes"]) == names
        images, labels = found.take(every)
        np.testing.assert_array_equal(images, x)
        np.testing.assert_array_equal(labels, y)
    listed.unlink()
    manifest.unlink()


def test_cifars_own_files_are_read(photos: tuple[np.ndarray, np.ndarray]) -> None:
    data = ImageClassification().dataset(SAMPLE, "test", Parsed({}))
    x, y = data.take(np.arange(300))
    np.testing.assert_array_equal(x.transpose(0, 2, 3, 1), photos[0])
    np.testing.assert_array_equal(y, photos[1])
    assert len(read(SAMPLE)) == 1000


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.lst", "1\tcat\tx.png\n", r"line 1: no class: 'cat'"),
        (
            "a.lst",
            "0\t1.257\tx.png\n1\t-1.7156\ty.png\n",
            r"line 1: no class: '1.257'(.|\n)*line 2",
        ),
        ("a.lst", "0\tinf\tx.png\n", r"line 1: no class: 'inf'"),
        ("a.lst", "0\t1e300\tx.png\n", r"line 1: no class: '1e300'"),
        ("a.lst", "0\t1.000000\tx.png\n", r"line 1: 'x.png': there is no file"),
        (
            "a.manifest",
            '{"source-ref": "s3://b/x.png", "kind-metadata": {"failure-reason": "too dark"}}\n',
            r"line 1: Ground Truth has not labelled it: 'too dark'",
        ),
        (
            "a.manifest",
            '{"source-ref": "s3://b/k/x.png", "k-metadata": {"class-name": "cat"}}\n',
            r"line 1: 's3://b/k/x.png': there is no file .*x\.png",
        ),
        ("a.lst", "1\t2\n", r"line 1: expected number, class and path .*, got 2 cells"),
        ("a.lst", "0\t1\t../../etc/passwd\n", r"line 1: .* lies outside"),
        ("a.lst", "", r"holds no examples"),
        ("a.manifest", '{"source-ref": "x.png"}\n', r"line 1: expected a JSON object with source"),
        ("a.manifest", "[1]\n", r"line 1: expected a JSON object"),
        ("a.bin", "x" * 100, r"no file of CIFAR-10: 100 bytes"),
        ("a.rec", "nothing", r"record 1"),
        ("a.gif", "x", r"is none of these"),
    ],
)
def test_a_malformed_channel_is_named(tmp_path: Path, name: str, content: str, reason: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=reason):
        read(tmp_path / name)


def test_any_real_picture_becomes_what_the_network_takes(
    photos: tuple[np.ndarray, np.ndarray],
) -> None:
    large = Image.fromarray(photos[0][0]).resize((90, 60))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    for picture, form, options in (
        (large.convert("L"), "PNG", {}),
        (large.convert("RGBA"), "PNG", {}),
        (large.convert("CMYK"), "JPEG", {}),
        (large.convert("P"), "PNG", {}),
        (large.convert("1"), "PNG", {}),
        (Image.fromarray(np.asarray(large.convert("L")).astype(np.uint16) * 257), "PNG", {}),
        (large, "JPEG", {"exif": exif}),
        (large, "PNG", {"save_all": True, "append_images": [large.rotate(90)]}),
    ):
        stream = io.BytesIO()
        picture.save(stream, form, **options)
        found = pictures.decoded(stream.getvalue(), 32)
        assert (found.shape, found.dtype) == ((3, 32, 32), np.uint8)


def test_every_form_of_a_request_gets_one_answer(
    trained: Path, photos: tuple[np.ndarray, np.ndarray]
) -> None:
    algorithm = ImageClassification()
    model = algorithm.model_fn(trained)
    picture = photos[0][0]
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    encoded = base64.b64encode(stream.getvalue()).decode()
    bodies = {
        codecs.PNG: stream.getvalue(),
        codecs.JSON: json.dumps({"instances": [{"b64": encoded}, picture.tolist()]}).encode(),
        codecs.JSONLINES: json.dumps({"b64": encoded}).encode(),
        codecs.NPY: codecs.encode_npy(picture[None].astype(np.float32)),
    }
    answers = []
    for content_type, body in bodies.items():
        examples = algorithm.input_fn(body, content_type)
        prediction = algorithm.predict_fn(examples, model)
        document = json.loads(algorithm.output_fn(prediction, codecs.JSON))
        answers += document["predictions"]
    assert len(answers) == 5
    for answer in answers:
        assert answer["label"] == answers[0]["label"]
        assert answer["probability"] == pytest.approx(answers[0]["probability"], abs=1e-5)
        named = list(answer["probabilities"].values())
        assert len(named) == 2  # top_k
        assert named == sorted(named, reverse=True)


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        (codecs.JSON, b'[{"b64": "!"}]', "example 1: no base64"),
        (codecs.JSON, b'[{"picture": 1}]', "example 1: expected"),
        (codecs.JSON, b"[[[1, 2], [3]]]", "example 1: expected a picture"),
        (codecs.JSON, b"[[[[300, 0, 0]]]]", "from 0 to 255"),
        (codecs.JSON, b"[[[[1, 2]]]]", "expected pictures"),
        (codecs.PNG, b"x", "no image"),
    ],
)
def test_a_wrong_request_says_what_is_wrong(content_type: str, body: bytes, reason: str) -> None:
    from algoshelf.core import PayloadError

    with pytest.raises(PayloadError, match=reason):
        ImageClassification().input_fn(body, content_type)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    """The home of weights called mine, those of ``trained``."""
    home = tmp_path_factory.mktemp("home")
    words = ("--network", "cifar_resnet20_v1", "--licence", "MIT", "--summary", "of three classes")
    added = InProcess(home)(
        "weights", "add", "mine", trained / "model-0000.params", *words, ALGOSHELF_HOME=str(home)
    )
    assert added.code == 0, added.stderr
    return home


def test_training_goes_on_from_weights_by_name_with_a_new_output_layer(
    tmp_path: Path, in_process: InProcess, trained: Path, named: Path
) -> None:
    """From three classes to CIFAR's ten, the backbone frozen; their network is implied."""
    few = tmp_path / "test_batch.bin"
    few.write_bytes(gzip.decompress((SAMPLE / "test_batch.bin.gz").read_bytes())[: 3073 * 200])
    options = ("--epochs", 1, "--batch-size", 32, "--frozen", "true", "--learning-rate", 0.01)
    result = in_process(
        *("train", "image-classification", "--weights", "mine", "--train", few, *options),
        *("--output", "m", "--json"),
        ALGOSHELF_HOME=str(named),
    )
    assert result.code == 0, result.stderr
    assert "starting from" in result.stderr
    made = tmp_path / "m"
    assert set(json.loads((made / "algorithm.json").read_text())["data"]) == {"train", "model"}
    before, after = (mx.nd.load(str(folder / "model-0000.params")) for folder in (trained, made))
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name].shape != after[name].shape}
    assert len(changed) == 2  # weight and bias of the output layer
    for name in before.keys() - changed:
        np.testing.assert_array_equal(before[name].asnumpy(), after[name].asnumpy())


def test_weights_are_packed_with_the_code_and_a_job_begins_with_them(
    tmp_path: Path, in_process: InProcess, folder: Path, named: Path
) -> None:
    home = {"ALGOSHELF_HOME": str(named)}
    packed = ("package", "image-classification", "--weights", "mine")
    result = in_process(*packed, "--as", "script", "--output", "p", **home)
    assert result.code == 0, result.stderr
    model = tmp_path / "model"
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "SM_CHANNEL_TRAIN": str(folder),
        "SM_MODEL_DIR": str(model),
        "SAGEMAKER_BASE_DIR": str(tmp_path / "ml"),
    }
    done = subprocess.run(
        [sys.executable, "entry_point.py", "--epochs", "1", "--frozen", "true"],
        cwd=tmp_path / "p",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "arrays of pretrained, and its output layer" in done.stderr
    assert "model" in json.loads((model / "algorithm.json").read_text())["data"]
    result = in_process(*packed, "--as", "container", "--output", "c", **home)
    assert result.code == 0, result.stderr
    assert (tmp_path / "c" / "pretrained" / "weights.json").is_file()
    assert "COPY pretrained /opt/algoshelf/pretrained" in (tmp_path / "c/Dockerfile").read_text()
    result = in_process(*packed, "--as", "model", "--output", "x", **home)
    assert result.code == 2
    assert "--weights: a training begins with them" in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--weights", "min"), "no pretrained weights 'min' (did you mean 'mine'?)"),
        (("--weights", "mine", "--model", "x"), "--weights and --model: give one of the two"),
        (
            ("--weights", "mine", "--network", "resnet18_v1"),
            "goes with --network cifar_resnet20_v1, got resnet18_v1: leave that out",
        ),
        (("--weights", "all-minilm-l6-v2"), "with which image-classification cannot begin; it can"),
        (("--weights", "../mine"), "no pretrained weights '../mine'"),
        (("--frozen", "true"), "--frozen needs --weights or --model"),
    ],
)
def test_wrong_weights_are_told_before_anything_is_fetched(
    in_process: InProcess, named: Path, words: tuple[str, ...], told: str
) -> None:
    bad = ("--top-k", "-1") if "--weights" in words else ()
    result = in_process(
        "train", "image-classification", *words, *bad, ALGOSHELF_HOME=str(named), PATH=""
    )
    assert result.code == 2
    assert told in result.stderr
    if bad:
        assert "--top-k" in result.stderr  # all that is wrong is told at once
    assert not (named / "weights" / ".all-minilm-l6-v2.lock").exists()


def test_weights_by_name_are_a_folder_in_python(
    named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALGOSHELF_HOME", str(named))
    channels = {"model": pretrained_weights("mine")}
    assert ImageClassification().implied(channels) == {"network": "cifar_resnet20_v1"}


@pytest.mark.parametrize(
    "command",
    [
        "train image-classification",
        "tune image-classification",
        "benchmark image-classification",
        "check image-classification",
        "package image-classification --as script --output p",
        "sagemaker train image-classification --instance ml.m5.xlarge",
        "sagemaker tune image-classification --instance ml.m5.xlarge",
    ],
)
def test_every_command_that_trains_knows_weights_by_name(
    in_process: InProcess, named: Path, command: str
) -> None:
    words = (*command.split(), "--weights", "min")
    result = in_process(*words, ALGOSHELF_HOME=str(named))
    assert result.code == 2
    assert "no pretrained weights 'min' (did you mean 'mine'?)" in result.stderr


def test_a_job_is_given_weights_as_a_channel(
    in_process: InProcess, folder: Path, named: Path
) -> None:
    words = ("--weights", "mine", "--train", folder, "--instance", "ml.m5.xlarge", "--dry-run")
    result = in_process(
        *("sagemaker", "train", "image-classification", *words),
        *("--role", "arn:aws:iam::123456789012:role/x", "--region", "us-east-1"),
        ALGOSHELF_HOME=str(named), AWS_ACCESS_KEY_ID="", AWS_CONFIG_FILE="/dev/null",
        AWS_SHARED_CREDENTIALS_FILE="/dev/null", AWS_EC2_METADATA_DISABLED="true",
    )  # fmt: skip
    assert result.code == 0, result.stderr
    requests = result.json["requests"]
    keys = [each["parameters"].get("Key", "") for each in requests]
    assert any(key.endswith("/weights.json") for key in keys)
    (job,) = (each for each in requests if each["operation"] == "CreateTrainingJob")
    channels = {each["ChannelName"] for each in job["parameters"]["InputDataConfig"]}
    assert channels == {"train", "model"}
    assert job["parameters"]["HyperParameters"]["network"] == '"cifar_resnet20_v1"'


def test_what_pytorch_calls_layers_is_understood(tmp_path: Path) -> None:
    """The places in torchvision's ResNets are those of GluonCV's v1b."""
    network = networks.build("resnet18_v1b", 4)
    network.initialize()
    network(mx.nd.zeros((1, 3, 32, 32)))
    torch = {
        name.replace(".gamma", ".weight").replace(".beta", ".bias"): parameter.data().asnumpy() + 1
        for name, parameter in network._collect_params_with_prefix().items()
    }
    path = tmp_path / "resnet18.params"
    params.write(path, torch)
    assert "bn1.weight" in torch
    weights.load(network, path, frozenset())
    gamma = network._collect_params_with_prefix()["layer1.0.bn1.gamma"].data().asnumpy()
    np.testing.assert_array_equal(gamma, torch["layer1.0.bn1.weight"])


def test_mobilenet_of_pytorch_becomes_gluons() -> None:
    names = ("0.0.weight", "1.conv.3.weight", "2.conv.0.weight", "18.0.weight")
    arrays = {f"features.{name}": np.full((2, 2, 1, 1), n) for n, name in enumerate(names, 1)}
    arrays["features.2.conv.1.weight"] = np.array([5.0, 6.0])
    arrays["features.18.1.bias"] = np.array([7.0, 8.0])
    arrays["features.18.1.num_batches_tracked"] = np.array([9])
    found = pretrained.mobilenet_v2(arrays)
    first = {name: values.ravel()[0] for name, values in found.items() if ".3.out" not in name}
    assert first == {
        "features.0.weight": 1,
        "features.4.out.0.weight": 3,
        "features.4.out.1.gamma": 5,
        "features.20.weight": 4,
        "features.21.beta": 7,
    }
    assert found["features.3.out.6.weight"].ravel()[0] == 2
    # What Gluon has besides leaves its input as it is.
    np.testing.assert_array_equal(found["features.3.out.0.weight"].reshape(2, 2), np.eye(2))
    spread = np.sqrt(found["features.3.out.1.running_var"] + np.float32(1e-5))
    np.testing.assert_array_equal(spread, np.ones(2, np.float32))


def test_resnet_of_keras_answers_the_same_as_gluons() -> None:
    """A convolution with its bias, its normalization with another epsilon, and its colours."""
    rng = np.random.default_rng(1)
    arrays = {"fc1000/kernel": rng.normal(size=(3, 2)), "fc1000/bias": np.zeros(2)}
    for layer, norm, depth in (
        ("conv1", "bn_conv1", 3),
        ("res2a_branch2a", "bn2a_branch2a", 2),
        ("res3b_branch2c", "bn3b_branch2c", 2),
        ("res4a_branch1", "bn4a_branch1", 2),
    ):
        arrays[f"{layer}/kernel"] = rng.normal(size=(1, 1, depth, 2))
        arrays[f"{layer}/bias"] = rng.normal(size=2)
        for kind in ("gamma", "beta", "moving_mean"):
            arrays[f"{norm}/{kind}"] = rng.normal(size=2)
        arrays[f"{norm}/moving_variance"] = rng.uniform(0.5, 2, size=2)
    found = pretrained.resnet50(arrays)
    np.testing.assert_allclose(found["output.weight"], arrays["fc1000/kernel"].T, rtol=1e-6)
    pixel = np.array([200.0, 20.0, 90.0])  # red, green, blue
    for layer, norm, place, after in (
        ("conv1", "bn_conv1", "features.0", "features.1"),
        ("res2a_branch2a", "bn2a_branch2a", "features.4.0.body.0", "features.4.0.body.1"),
        ("res3b_branch2c", "bn3b_branch2c", "features.5.1.body.6", "features.5.1.body.7"),
        ("res4a_branch1", "bn4a_branch1", "features.6.0.downsample.0", "features.6.0.downsample.1"),
    ):
        theirs = ours = pixel[:2]
        if layer == "conv1":
            theirs = pixel[::-1] - pretrained.KERAS_MEAN
            ours = (pixel / 255 - networks.MEAN) / networks.DEVIATION
        y = theirs @ arrays[f"{layer}/kernel"][0, 0] + arrays[f"{layer}/bias"]
        scale = np.sqrt(arrays[f"{norm}/moving_variance"] + 1e-3)
        expected = arrays[f"{norm}/gamma"] * (y - arrays[f"{norm}/moving_mean"]) / scale
        y = found[f"{place}.weight"][:, :, 0, 0] @ ours + found.get(f"{place}.bias", 0)
        scale = np.sqrt(found[f"{after}.running_var"] + 1e-5)
        got = found[f"{after}.gamma"] * (y - found[f"{after}.running_mean"]) / scale
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_weights_of_another_network_are_refused(
    tmp_path: Path, folder: Path, trained: Path
) -> None:
    settings = Parsed({**QUICK, "network": "cifar_resnet20_v2"})
    channels = {"train": folder, "model": trained}
    with pytest.raises(DataError, match="has no matching weights for"):
        train(ImageClassification(), channels, settings, tmp_path / "m", reporter=Reporter())
    (tmp_path / "x.params").write_bytes(b"nothing")
    channels["model"] = tmp_path / "x.params"
    with pytest.raises(DataError, match="not a params file"):
        train(ImageClassification(), channels, settings, tmp_path / "m", reporter=Reporter())
    assert not (tmp_path / "m").exists()


def test_augmentation_repeats_and_changes_what_it_says(
    photos: tuple[np.ndarray, np.ndarray],
) -> None:
    from algoshelf.algorithms.image_classification import augmentation

    x = mx.nd.array(photos[0][:16].transpose(0, 3, 1, 2).astype(np.float32))
    y = mx.nd.array(photos[1][:16], dtype="int32")

    def rng() -> np.random.Generator:
        return np.random.default_rng(5)

    same = augmentation.moved(x, rng(), shift=0, scale=0, flip=False)
    assert same is x
    shifted = augmentation.moved(x, rng(), shift=0.125, scale=0, flip=False).asnumpy()
    # Whole pixels: every intensity was there before, or is black.
    for before, after in zip(x.asnumpy(), shifted):
        near = np.abs(after[0].ravel()[:, None] - np.append(before[0].ravel(), 0)).min(axis=1)
        assert near.max() < 0.01
    once, again = (augmentation.coloured(x, rng(), 0.4).asnumpy() for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert 0 <= once.min() <= once.max() <= 255
    cut = augmentation.cut_out(x, rng(), 0.5).asnumpy()
    assert ((cut == 127.5).all(axis=1).reshape(16, -1).sum(axis=1) >= 16 * 16 / 4).all()
    blended, labels = augmentation.mixed(x, y, rng(), 0.5)
    weight = labels.asnumpy()[0, 2]
    assert 0 < weight < 1
    assert blended.shape == x.shape
    np.testing.assert_array_equal(labels.asnumpy()[:, 0], photos[1][:16])


def test_the_blended_loss_is_the_cross_entropy_of_the_blended_label() -> None:
    from algoshelf.algorithms.image_classification.augmentation import blended_cross_entropy

    logits = mx.nd.array([[1.0, 2.0, 0.5], [0.1, -1.0, 3.0]])
    labels = mx.nd.array([[0, 1, 0.25], [2, 2, 1.0]])
    target = np.array([[0.25, 0.75, 0], [0, 0, 1]]) * 0.9 + 0.1 / 3
    logs = mx.nd.log_softmax(logits).asnumpy()
    found = blended_cross_entropy(0.1)(logits, labels).asnumpy()
    np.testing.assert_allclose(found, -(target * logs).sum(axis=1), rtol=1e-5)


def test_the_command_line_trains_evaluates_and_answers(
    algoshelf: Algoshelf, in_process: InProcess, folder: Path
) -> None:
    options = ("--train", folder, "--test", folder, "--epochs", 1, "--batch-size", 32)
    result = algoshelf("train", "image-classification", *options, "--output", "m")
    assert result.code == 0, result.stderr
    assert "test:accuracy" in result.text
    figures = in_process("evaluate", "m", "--test", folder, "--json").json
    assert figures["examples"] == 60
    answer = in_process("predict", "m", folder / "cat" / "00.png")
    assert set(answer.json["probabilities"]) == {"cat", "plane", "ship"}


def test_a_model_answers_alike_in_any_batch(
    trained: Path, photos: tuple[np.ndarray, np.ndarray]
) -> None:
    algorithm = ImageClassification()
    model = algorithm.model_fn(trained)
    x = np.ascontiguousarray(photos[0][:5].transpose(0, 3, 1, 2))
    together = model.outputs(x)
    for index in range(5):
        alone = model.outputs(x[index : index + 1])
        np.testing.assert_allclose(alone[0], together[index], rtol=1e-3, atol=1e-4)


def test_whole_labels_of_a_list_are_classes_whatever_their_form(
    tmp_path: Path, photos: tuple[np.ndarray, np.ndarray]
) -> None:
    for name in ("x", "y"):
        Image.fromarray(photos[0][0]).save(tmp_path / f"{name}.png")
    (tmp_path / "a.lst").write_text("0\t1.000000\tx.png\n1\t3\ty.png\n")
    data = read(tmp_path / "a.lst")
    assert data.encoding == {"classes": ["1", "3"]}
    assert data.labels().tolist() == [0, 1]


def manifest(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "out.manifest"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_folders_of_s3_with_the_same_names_are_kept_apart(
    tmp_path: Path, photos: tuple[np.ndarray, np.ndarray]
) -> None:
    def row(key: str, label: str) -> dict[str, Any]:
        return {"source-ref": f"s3://bucket/{key}", "k-metadata": {"class-name": label}}

    for number, folder in enumerate(("cats", "dogs")):
        (tmp_path / folder).mkdir()
        Image.fromarray(photos[0][number]).save(tmp_path / folder / "1.png")
    rows = [row("all/cats/1.png", "cat"), row("all/dogs/1.png", "dog")]
    x, y = read(manifest(tmp_path, *rows)).take(np.arange(2))
    np.testing.assert_array_equal(x.transpose(0, 2, 3, 1), photos[0][:2])
    assert y.tolist() == [0, 1]
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.fromarray(photos[0][0]).save(flat / "1.png")
    with pytest.raises(
        DataError, match=r"line 2: .*dogs/1.png' and .*cats/1.png' of line 1 are one"
    ):
        read(manifest(flat, *rows))


def test_what_ground_truth_could_not_label_and_what_is_missing_can_be_left_out(
    tmp_path: Path, photos: tuple[np.ndarray, np.ndarray]
) -> None:
    for number in range(2):
        Image.fromarray(photos[0][number]).save(tmp_path / f"{number}.png")
    path = manifest(
        tmp_path,
        {"source-ref": "s3://b/0.png", "k-metadata": {"class-name": "cat"}},
        {"source-ref": "s3://b/7.png", "k-metadata": {"failure-reason": "ClientError: no access"}},
        {"source-ref": "s3://b/1.png", "k-metadata": {"class-name": "dog"}},
        {"source-ref": "s3://b/9.png", "k-metadata": {"class-name": "dog"}},
    )
    with pytest.raises(DataError) as caught:
        read(path)
    assert ["line 2: Ground Truth has not labelled it: 'ClientError: no access'" in fault
            for fault in caught.value.faults] == [True, False, False]  # fmt: skip
    assert "line 4: 's3://b/9.png': there is no file" in caught.value.faults[1]
    data = read(path, on_damaged="skip")
    assert len(data) == 2
    assert data.counts == {"left_out": 2}
    assert "2 files are left out" in data.note
    assert "'ClientError: no access'" in data.note


def test_records_with_several_labels_are_refused(tmp_path: Path) -> None:
    from tests.core.data.packs import png, write_records

    body = png(np.zeros((8, 8), np.uint8))
    path = write_records(tmp_path / "m.rec", [body] * 2, [[1, 2], [3, 4]])
    with pytest.raises(DataError, match=r"record 1 .* has 2 labels"):
        read(path)


def test_one_class_is_refused(tmp_path: Path, photos: tuple[np.ndarray, np.ndarray]) -> None:
    (tmp_path / "data" / "cat").mkdir(parents=True)
    for number in range(4):
        Image.fromarray(photos[0][number]).save(tmp_path / "data" / "cat" / f"{number}.png")
    with pytest.raises(DataError, match=r"all 4 examples are of one class \('cat'\)"):
        train(
            ImageClassification(),
            {"train": tmp_path / "data"},
            Parsed(QUICK),
            tmp_path / "m",
            reporter=Reporter(),
        )
    assert not (tmp_path / "m").exists()


def test_pictures_of_another_kind_are_told_where_without_them_one_class_is_left(
    tmp_path: Path, photos: tuple[np.ndarray, np.ndarray], in_process: InProcess
) -> None:
    for place in ("a/0.gif", "a/1.gif", "b/0.gif", "x/0.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Image.fromarray(photos[0][0]).save(tmp_path / place)
    common = ("train", "image-classification", "--train", tmp_path, "--output", "m")
    said = (
        "3 files are left out: 3 GIF; 2 folders are no classes, since they hold no examples: a, b; "
        "files that are left out are used once they are saved in a form that is read, pictures as "
        "PNG)"
    )
    for fault in ("of one class ('x')", "class 'a' has only one example"):
        refused = in_process(*common)
        assert (refused.code, fault in refused.stderr, said in refused.stderr) == (2, True, True)
        Image.fromarray(photos[0][0]).save(tmp_path / "a" / "2.png")
        said = "3 files are left out: 3 GIF; 1 folder is no class"


def test_classes_in_one_folder_are_pointed_out(
    tmp_path: Path, photos: tuple[np.ndarray, np.ndarray], in_process: InProcess
) -> None:
    for place in ("animals/cats/0.png", "animals/dogs/0.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photos[0][0]).save(tmp_path / place)
    refused = in_process("train", "image-classification", "--train", tmp_path, "--output", "m")
    assert "all 2 examples are of one class ('animals')" in refused.stderr
    hint = (
        "all examples lie in one folder, animals, below its subfolders cats, dogs: if these are the"
    )
    assert f"{hint} classes, give {tmp_path / 'animals'}" in refused.stderr


def test_a_picture_beyond_the_limits_is_not_called_damaged_alone(
    tmp_path: Path, photos: tuple[np.ndarray, np.ndarray]
) -> None:
    for place, size in (("a/0.png", (32, 32)), ("b/0.png", (3000, 1))):
        (tmp_path / place).parent.mkdir()
        Image.new("RGB", size, (1, 2, 3)).save(tmp_path / place)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert (
        "1 of 2 images is damaged or beyond the limits: mend or remove it"
        in caught.value.faults[-1]
    )


def test_the_pictures_of_one_request_are_bounded_together() -> None:
    from algoshelf.core import PayloadTooLargeError

    from tests.core.data.hostile_pictures import flat_png

    large = flat_png(5000, 5000, 0)
    record = json.dumps({"b64": base64.b64encode(large).decode()})
    assert len(pictures.decode(f"[{record}, {record}]".encode(), codecs.JSON)) == 2
    with pytest.raises(PayloadTooLargeError, match="example 3: the pictures of one request"):
        pictures.decode(f"[{','.join([record] * 3)}]".encode(), codecs.JSON)


def test_a_request_is_seen_as_a_file_of_the_training() -> None:
    """Of one size and shape: what is larger is scaled down in the same steps."""
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 256, (60, 90, 3)).astype(np.uint8).repeat(40, 0).repeat(40, 1)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG")
    [asked] = pictures.decode(stream.getvalue(), codecs.JPEG)
    assert asked.shape == (1024, 1024, 3)
    np.testing.assert_array_equal(
        pictures.fitted(asked, 64), pictures.decoded(stream.getvalue(), 64)
    )


def test_a_strip_is_cropped_before_it_is_scaled() -> None:
    strip = np.zeros((2, 200, 3), np.uint8)
    strip[:, 99:101] = (255, 128, 0)
    found = pictures.fitted(strip, 32)
    assert found.shape == (3, 32, 32)
    assert (found.reshape(3, -1) == np.array([[255], [128], [0]])).all()


def test_group_normalization_is_gluoncvs() -> None:
    """GluonCV's layer asks for shapes, so no graph could be written of its network."""
    from gluoncv.nn import GroupNorm

    net = networks.build("resnet50_v1b_gn", 3)
    layer = net.bn1
    layer.initialize(mx.init.Uniform(1))
    for name, values in layer.collect_params().items():
        values.shape = (64,)
        assert name.endswith(("gamma", "beta"))
    x = mx.nd.array(np.random.default_rng(0).normal(3, 2, (2, 64, 5, 4)).astype(np.float32))
    rng = np.random.default_rng(1)
    layer.gamma.set_data(mx.nd.array(rng.normal(size=64)))
    layer.beta.set_data(mx.nd.array(rng.normal(size=64)))
    expected = GroupNorm.hybrid_forward(
        layer, mx.nd, x, layer.gamma.data(), layer.beta.data()
    ).asnumpy()
    np.testing.assert_allclose(layer(x).asnumpy(), expected, rtol=1e-5, atol=1e-5)
    layer.hybridize()
    np.testing.assert_allclose(layer(x).asnumpy(), expected, rtol=1e-5, atol=1e-5)
