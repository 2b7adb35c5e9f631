"""Training from files that are read one by one: the same result, in memory that does not grow."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest
from algoshelf.core import Reporter, RunOptions, Stopped, mx, train

from tests.conftest import ROOT
from tests.core.data.packs import png, write_csv, write_folders, write_records
from tests.core.training.acme_pictures import AcmePictures, PictureHyperparameters
from tests.registry.conftest import install

FORMATS = ("folders", "records", "rows")
Digits = "tuple[np.ndarray, np.ndarray]"


@pytest.fixture(scope="module")
def data(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """100 digits in each format; one image of the pack and one of the folders is damaged."""
    folder = tmp_path_factory.mktemp("data")
    images, labels = digits
    bodies = [png(image) for image in images]
    bodies[33] = bodies[33][:100]
    folders = write_folders(folder / "folders", images, labels)
    (folders / "4" / "00041.png").write_bytes(bodies[33])
    return {
        "folders": folders,
        "records": write_records(folder / "digits.rec", bodies, labels),
        "rows": write_csv(folder / "digits.csv", images, labels),
    }


class StopsAt(Reporter):
    """Sends this process a SIGTERM when so many steps are done."""

    def __init__(self, last: int) -> None:
        self.last = last

    def step(self, step: int) -> None:
        if step == self.last:
            os.kill(os.getpid(), signal.SIGTERM)


def fit(
    path: Path,
    output: Path,
    reporter: Reporter | None = None,
    options: RunOptions | None = None,
    **changed: Any,
) -> bytes:
    """The bytes of the parameters after two epochs of 90 examples or one fewer, 5 a batch."""
    settings = PictureHyperparameters(**{"epochs": 2, "batch_size": 5, **changed})
    algorithm = AcmePictures()
    train(
        algorithm, {"train": path}, settings, output,
        reporter=reporter or Reporter(), options=options,
    )  # fmt: skip
    return (output / "model-0000.params").read_bytes()


@pytest.mark.parametrize("form", FORMATS)
def test_it_learns_what_it_learns_in_memory_bit_by_bit(
    data: dict[str, Path], tmp_path: Path, form: str
) -> None:
    one_by_one = fit(data[form], tmp_path / "one")
    assert fit(data[form], tmp_path / "all", in_memory=True) == one_by_one


@pytest.mark.parametrize("form", FORMATS)
def test_a_run_that_was_stopped_amid_an_epoch_ends_with_the_same_bytes(
    data: dict[str, Path], tmp_path: Path, form: str
) -> None:
    expected = fit(data[form], tmp_path / "whole")
    options = RunOptions(checkpoints=tmp_path / "checkpoints")
    for last in (3, 30):
        epoch = 18 if form == "rows" else 17  # of the others, a damaged one is left out
        with pytest.raises(Stopped, match=f"after step {8 if last == 3 else epoch + 16}"):
            fit(data[form], tmp_path / "m", StopsAt(last), options)
    assert fit(data[form], tmp_path / "m", options=options) == expected


def test_two_hosts_learn_what_one_learns(data: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    source = (Path(__file__).parent / "acme_pictures.py").read_text()
    install(tmp_path / "site", "acme-pictures", source)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}
    program = [str(Path(sys.executable).parent / "algoshelf"), "train", "acme-pictures"]
    settings = ["--optimizer", "sgd", "--batch-size", "10", "--epochs", "2"]
    learned = []
    for hosts in ("1", "2"):
        done = subprocess.run(
            [*program, "--train", str(data["records"]), *settings, "--hosts", hosts,
             "--output", hosts],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "digits.rec: record 34: the image is corrupt or truncated" in done.stderr
        saved = mx.nd.load(str(tmp_path / hosts / "model-0000.params"))
        learned.append(np.concatenate([saved[name].asnumpy().ravel() for name in sorted(saved)]))
    one, two = learned
    assert np.linalg.norm(one - two) / np.linalg.norm(one) <= 1e-4


# Prints the peak memory of training on each data set in turn, in MiB. The import of mxnet takes
# more for a moment than a small training does: writing 5 to clear_refs forgets it.
MEASURE = """
import json, re, sys
from pathlib import Path
from algoshelf.core import Reporter, train
from tests.core.training.acme_pictures import AcmePictures, PictureHyperparameters
output, options, small, large = sys.argv[1:]
settings = PictureHyperparameters.parse(json.loads(options))
for path in (small, small, large):
    Path("/proc/self/clear_refs").write_text("5")
    channels = {"train": Path(path), "validation": Path(path)}
    train(AcmePictures(), channels, settings, Path(output), reporter=Reporter())
    print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""


def growth(folder: Path, small: Path, large: Path, **options: Any) -> float:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder / "m"), json.dumps({"epochs": 1, **options}),
         str(small), str(large)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    _, before, after = map(float, done.stdout.split())  # the first training warms up
    return after - before


def linked(small: Path, large: Path, times: int) -> Path:
    """The folders of ``small`` with every file ``times`` times."""
    for file in small.glob("*/*.png"):
        (large / file.parent.name).mkdir(parents=True, exist_ok=True)
        for copy in range(times):
            os.link(file, large / file.parent.name / f"{copy}-{file.name}")
    return large


SIZE = 1500
LINES = 10_000
SIDE = 96


@pytest.fixture(scope="module")
def sizes(
    digits: Digits, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, list[Path]]]:
    """A small data set in each format, and one four times as large."""
    folder = tmp_path_factory.mktemp("sizes")
    images, labels = digits
    repeated = SIZE // len(images)
    base = write_folders(folder / "base", images, labels)
    bodies = [png(image) for image in images]
    text = write_csv(folder / "base.csv", images, labels).read_text()
    found: dict[str, list[Path]] = {form: [] for form in FORMATS}
    for times in (1, 4):
        count = repeated * times
        found["folders"].append(linked(base, folder / f"folders-{times}", count))
        pack = write_records(folder / f"{times}.rec", bodies * count, [*labels] * count)
        found["records"].append(pack)
        rows = folder / f"{times}.csv"
        rows.write_text(text * (LINES // len(images)) * times)
        found["rows"].append(rows)
    yield found
    shutil.rmtree(folder)


# Few enough examples a batch that the small data set fills all that works ahead.
IMAGES = {"side": SIDE, "batch_size": 16}
ROWS = {"batch_size": 64}


@pytest.mark.apart
def test_a_reader_of_everything_needs_more_memory_for_more_data(
    sizes: dict[str, list[Path]], tmp_path: Path
) -> None:
    """So that the next test's measure is known to tell."""
    more = 3 * SIZE * SIDE**2 * 4 / 2**20
    assert growth(tmp_path, *sizes["records"], in_memory=True, **IMAGES) > more


@pytest.mark.parametrize(
    ("form", "options", "more"),
    [
        pytest.param("folders", IMAGES, 3 * SIZE * SIDE**2 * 4, marks=pytest.mark.apart),
        pytest.param("records", IMAGES, 3 * SIZE * SIDE**2 * 4, marks=pytest.mark.apart),
        ("rows", ROWS, 3 * LINES * 785 * 4),
    ],
)
def test_peak_memory_does_not_depend_on_the_size_of_the_data(
    sizes: dict[str, list[Path]], tmp_path: Path, form: str, options: dict[str, int], more: int
) -> None:
    """``more`` bytes are what a reader of everything would need more."""
    assert growth(tmp_path, *sizes[form], **options) < 0.4 * more / 2**20
