"""The command line as its users meet it: a process, its two streams, its exit code."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SAMPLE, Algoshelf, InProcess

QUICK = ("--epochs", 1)


def test_list_and_info_import_no_mxnet() -> None:
    code = (
        "import sys\n"
        "from algoshelf.registry.cli import main\n"
        "for arguments in (['list'], ['info', 'mnist-cnn'], ['train', 'mnist-cnn', '--help']):\n"
        "    try: main(arguments)\n"
        "    except SystemExit as ended: assert not ended.code, ended.code\n"
        "sys.exit('mxnet' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_browsing_takes_less_than_importing_mxnet() -> None:
    """In seconds of a processor, since machines may be busy: about 0.4 s to 2.2 s."""

    def seconds(*command: str) -> float:
        taken = []
        for _ in range(2):
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                _, process.returncode, usage = os.wait4(process.pid, 0)
            assert process.returncode == 0
            taken.append(usage.ru_utime + usage.ru_stime)
        return min(taken)

    program = str(Path(sys.executable).parent / "algoshelf")
    mxnet = seconds(sys.executable, "-c", "from algoshelf.core import mx; mx.load()")
    assert seconds(program, "list") < mxnet
    assert seconds(program, "info", "mnist-cnn") < mxnet


def test_list_shows_a_table_and_json_the_same(algoshelf: Algoshelf) -> None:
    table = algoshelf("list")
    assert table.code == 0
    assert "mnist-cnn" in table.text
    assert table.stderr == ""
    listed = algoshelf("list", "--json").json["algorithms"]
    assert "mnist-cnn" in [algorithm["name"] for algorithm in listed]


def test_list_by_task(in_process: InProcess) -> None:
    here = in_process("list", "--task", "image-classification", "--json").json
    names = [algorithm["name"] for algorithm in here["algorithms"]]
    assert "mnist-cnn" in names
    assert "kmeans" not in names
    elsewhere = in_process("list", "--task", "alchemy")
    assert elsewhere.code == 0
    assert "image-classification" in elsewhere.stderr


def test_info_says_all_that_a_user_needs(in_process: InProcess) -> None:
    shown = " ".join(in_process("info", "mnist-cnn").text.split())  # long cells are wrapped
    details = in_process("info", "mnist-cnn", "--json").json
    for info in details["hyperparameters"]:
        assert "--" + info["name"].replace("_", "-") in shown
        assert info["description"] in shown
        assert info["type"]
    for channel in details["channels"]:
        assert f"--{channel['name']}" in shown
        assert all(text in shown for text in channel["formats"])
    for content_type in details["accepts"] + details["answers"]:
        assert content_type["name"] in shown
    for metric in details["metrics"]:
        assert metric in shown
    assert details["published"][0]["source"].split(",")[0] in shown
    assert details["objective"] == {"metric": "validation:accuracy", "maximize": True}


def test_train_help_shows_the_algorithms_own_hyperparameters(in_process: InProcess) -> None:
    text = in_process("train", "mnist-cnn", "--help").text
    assert "Hyperparameters:" in text
    assert "--learning-rate FLOAT" in text
    assert "from 1 to 1000; default: 12" in " ".join(text.split())


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (("lst",), "no such command 'lst' (did you mean 'list'?)"),
        (
            ("info", "mnist-cn"),
            "no algorithm 'mnist-cn' in the catalog (did you mean 'mnist-cnn'?)",
        ),
        (("train", "mnist"), "(did you mean 'mnist-cnn'?)"),
        (("train", "zzz"), "no algorithm 'zzz' in the catalog; there are forecasting, "),
        (
            ("train", "mnist-cnn", "--trian", "x"),
            "--trian: no such option (did you mean '--train'?)",
        ),
        (("evaluate", "m", "--tset", "x"), "--test"),
        (("list", "--jsno"), "--json"),
    ],
)
def test_a_typing_mistake_gets_a_suggestion(
    in_process: InProcess, arguments: tuple[str, ...], suggestion: str
) -> None:
    result = in_process(*arguments)
    assert result.code == 2
    assert suggestion in result.stderr
    assert "Traceback" not in result.stderr


def test_all_faults_of_a_command_line_come_at_once(in_process: InProcess, tmp_path: Path) -> None:
    result = in_process(
        "train", "mnist-cnn", "--epochs", "banana", "--lerning-rate", "1", "--train", "nowhere",
        "--seed", "-4", "stray", "--momentum=2",
    )  # fmt: skip
    assert result.code == 2
    faults = result.stderr.removeprefix("error: ").strip().splitlines()
    assert faults == [
        "--lerning-rate: no such option (did you mean '--learning-rate'?)",
        "'stray': unexpected argument",
        "nowhere: no such file or folder (channel 'train')",
        "--epochs: expected a whole number from 1 to 1000, got 'banana'",
        "--momentum: expected a number from 0 to below 1, got '2'",
        "--seed: expected a whole number from 0 to 2147483647, got '-4'",
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_two_faults_of_the_issue(in_process: InProcess) -> None:
    result = in_process("train", "mnist-cnn", "--epochs", "banana", "--lerning-rate", "1")
    assert result.code == 2
    assert "banana" in result.stderr
    assert "'--learning-rate'" in result.stderr


def test_an_error_with_json_is_one_document_too(in_process: InProcess) -> None:
    result = in_process("train", "mnist-cnn", "--epochs", "banana", "--json")
    assert result.code == 2
    error = result.json["error"]
    assert error["code"] == "wrong_input"
    assert error["faults"] == ["--epochs: expected a whole number from 1 to 1000, got 'banana'"]


def test_training_twice_gives_the_same_bytes(
    algoshelf: Algoshelf, tmp_path: Path, few: Path
) -> None:
    settings = ("--train", few, *QUICK, "--dropout", 0.2)
    for name in ("a", "b"):
        result = algoshelf("train", "mnist-cnn", *settings, "--output", name, OMP_NUM_THREADS="2")
        assert result.code == 0, result.stderr
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["algorithm.json", "model-0000.params", "model-symbol.json"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_another_seed_gives_another_model(in_process: InProcess, tmp_path: Path, few: Path) -> None:
    found = []
    for seed in (1, 1, 2):
        settings = ("--train", few, *QUICK, "--seed", seed, "--output", "m")
        assert in_process("train", "mnist-cnn", *settings).code == 0
        found.append((tmp_path / "m" / "model-0000.params").read_bytes())
    assert found[0] == found[1] != found[2]


def test_train_tells_where_the_model_is_and_what_comes_next(
    algoshelf: Algoshelf, in_process: InProcess
) -> None:
    result = algoshelf("train", "mnist-cnn", *QUICK)
    assert result.code == 0, result.stderr
    assert "bundled sample" in result.stderr
    assert "validation:accuracy=" in result.stderr
    assert "test:accuracy" in result.text
    assert "█" in result.text
    assert "algoshelf evaluate models/mnist-cnn" in result.text
    assert in_process("evaluate", "models/mnist-cnn").code == 0


def test_train_with_json_prints_one_document(
    in_process: InProcess, tmp_path: Path, few: Path
) -> None:
    result = in_process("train", "mnist-cnn", "--train", few, *QUICK, "--output", "m", "--json")
    assert result.code == 0, result.stderr
    document = result.json
    assert document["model"] == "m"
    assert document["hyperparameters"]["epochs"] == 1
    saved = json.loads((tmp_path / "m" / "algorithm.json").read_text())
    assert document["metrics"] == saved["metrics"]


def test_a_terminal_that_knows_no_blocks_is_no_error(algoshelf: Algoshelf, few: Path) -> None:
    data = ("--train", few, "--test", few)
    result = algoshelf("train", "mnist-cnn", *data, *QUICK, PYTHONIOENCODING="latin-1")
    assert result.code == 0, result.stderr
    assert b"test:accuracy" in result.stdout


def test_evaluate_prints_figures_and_json_the_same(in_process: InProcess, model: Path) -> None:
    document = in_process("evaluate", model, "--test", SAMPLE, "--json").json
    accuracy = document["metrics"]["accuracy"]
    low, high = document["intervals"]["accuracy"]
    assert low < accuracy < high
    assert document["examples"] == 2000
    assert len(document["classes"]) == 10
    assert sum(map(sum, document["confusion"])) == 2000
    shown = in_process("evaluate", model).text
    assert f"{accuracy:.4f}  (95 % confidence: {low:.4f} to {high:.4f})" in shown


def test_evaluate_draws_the_confusion_matrix(
    in_process: InProcess, model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    assert in_process("evaluate", model, "--plot", "confusion.png").code == 0
    with Image.open(tmp_path / "confusion.png") as picture:
        assert min(picture.size) > 500
    result = in_process("evaluate", model, "--plot", "nowhere/confusion.png")
    assert result.code == 2
    assert "nowhere/confusion.png: cannot be written" in result.stderr
    result = in_process("evaluate", model, "--windows", 2)
    assert result.code == 2
    assert "mnist-cnn forecasts no series, of which the last windows (--windows)" in result.stderr


def test_of_many_classes_evaluate_says_what_it_shows(in_process: InProcess, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    texts = [f"c{c},word{c // 2} again" for c in range(120) for _ in range(4)]  # two are alike
    (tmp_path / "many.csv").write_text("\n".join(["label,text", *texts]))
    data = ("--train", "many.csv", "--network", "ngram", "--epochs", 1, "--output", "m")
    assert in_process("train", "text-classification", *data).code == 0
    result = in_process("evaluate", "m", "--test", "many.csv", "--plot", "many.png")
    assert result.code == 0
    assert "These are the 20 of 120 classes with the lowest f1" in result.text
    assert "Most often confused (no matrix is shown of more than 100 classes)" in result.text
    assert len(result.text.splitlines()) < 60
    with Image.open(tmp_path / "many.png") as picture:
        assert min(picture.size) > 300
    document = in_process("evaluate", "m", "--test", "many.csv", "--json").json
    assert len(document["classes"]) == 120
    assert document["confusion"] is None
    assert set(document["confused"][0]) == {"true", "predicted", "examples"}


def test_predict_reads_files_of_every_kind_and_stdin(
    in_process: InProcess, model: Path, tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = digits[0][::10], digits[1][::10]
    Image.fromarray(images[0]).save(tmp_path / "zero.png")
    np.save(tmp_path / "digits.npy", images)
    lines = "\n".join(",".join(map(str, image.ravel())) for image in images)
    (tmp_path / "digits.csv").write_text(lines)
    (tmp_path / "digits.json").write_text(json.dumps(images.tolist()))
    (tmp_path / "digits.jsonl").write_text("\n".join(json.dumps(i.tolist()) for i in images))
    by_csv = in_process("predict", model, "digits.csv", "--accept", "text/csv").text
    found = [line.split(",")[0] for line in by_csv.splitlines()]
    assert np.mean([int(a) == b for a, b in zip(found, labels)]) >= 0.7
    expected = in_process("predict", model, "digits.csv")
    assert len(expected.text.splitlines()) == 10
    for name in ("digits.npy", "digits.json", "digits.jsonl"):
        assert in_process("predict", model, name).stdout == expected.stdout
    several = in_process("predict", model, "zero.png", "digits.npy")
    assert several.text.splitlines()[1:] == expected.text.splitlines()
    piped = in_process("predict", model, "-", "--content-type", "text/csv", stdin=lines.encode())
    assert piped.stdout == expected.stdout


def test_predict_without_input_answers_the_models_own_example(
    in_process: InProcess, model: Path
) -> None:
    result = in_process("predict", model)
    assert result.code == 0
    assert "example" in result.stderr
    assert set(result.json) == {"label", "probability", "probabilities"}


@pytest.mark.parametrize(
    ("name", "content", "arguments", "reason"),
    [
        ("x.csv", b"1,2\n3,x", (), "x.csv: line 2, column 2: 'x' is not a number"),
        ("x.csv", b"1,2\n3,4", (), "x.csv: expected images of 28 x 28"),
        ("x.json", b"{", (), "x.json: line 1, column 2"),
        ("x.png", b"no picture", (), "x.png: the body is no image"),
        ("x.xyz", b"", (), "--content-type"),
        ("x.csv", b"1", ("--content-type", "text/html"), "application/json"),
        ("x.csv", b"1", ("--accept", "text/html"), "application/jsonlines"),
        ("x.csv", b"", (), "x.csv: holds no rows"),
        ("-", b"", (), "standard input needs --content-type"),
        ("nowhere.csv", None, (), "nowhere.csv: no such file or folder"),
    ],
)
def test_predict_refuses_what_it_cannot_read(
    in_process: InProcess,
    model: Path,
    tmp_path: Path,
    name: str,
    content: bytes | None,
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    if content is not None and name != "-":
        (tmp_path / name).write_bytes(content)
    result = in_process("predict", model, name, *arguments)
    assert result.code == 2
    assert reason in result.stderr
    assert result.stdout == b""


def test_one_document_holds_one_input(in_process: InProcess, model: Path) -> None:
    result = in_process("predict", model, "a", "b", "--accept", "application/json")
    assert result.code == 2
    assert "--accept application/jsonlines" in result.stderr


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_missing_model_is_named(in_process: InProcess, command: str) -> None:
    result = in_process(command, "nowhere")
    assert result.code == 2
    assert "nowhere: no such model folder" in result.stderr


def test_an_output_that_cannot_be_written_is_refused_before_training(
    in_process: InProcess, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for output, reason in (
        ("/proc/model", "/proc/model: cannot be written"),
        ("file/model", "file/model: cannot be written"),
        ("file", "file: a file of this name exists"),
    ):
        result = in_process("train", "mnist-cnn", *QUICK, "--output", output)
        assert result.code == 2
        assert reason in result.stderr
        assert "epoch" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_training_leaves_nothing_behind(
    tmp_path: Path, few: Path, number: signal.Signals, code: int
) -> None:
    command = Path(sys.executable).parent / "algoshelf"
    process = subprocess.Popen(
        [command, "train", "mnist-cnn", "--train", few, "--epochs", "1000"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch=1"):
            process.send_signal(number)
            break
    process.stderr.read()
    assert process.wait(30) == code
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_is_no_error(algoshelf: Algoshelf, tmp_path: Path) -> None:
    command = f"{Path(sys.executable).parent / 'algoshelf'} info mnist-cnn"
    script = f"set -o pipefail; {command} | head -n 1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stderr == b""


def test_on_a_terminal_there_is_a_progress_bar(tmp_path: Path, few: Path) -> None:
    master, slave = pty.openpty()
    program = Path(sys.executable).parent / "algoshelf"
    command = [program, "train", "mnist-cnn", "--train", few, *map(str, QUICK)]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=slave, stdout=subprocess.DEVNULL)
    os.close(slave)
    shown = b""
    while True:
        try:
            block = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        shown += block
    os.close(master)
    assert process.wait(60) == 0
    assert b"\x1b[" in shown
    assert b"steps" in shown


def test_the_version_is_the_distributions(algoshelf: Algoshelf) -> None:
    from importlib.metadata import version

    assert algoshelf("--version").text.strip() == f"algoshelf, version {version('algoshelf')}"


def test_what_is_written_meanwhile_may_not_lie_in_the_model_folder(in_process: InProcess) -> None:
    result = in_process(
        "train", "mnist-cnn", "--output", "m", "--metrics", "m/x.jsonl", "--checkpoints", "m"
    )
    assert result.code == 2
    assert "--metrics: must not be inside the model folder" in result.stderr
    assert "--checkpoints: must not be inside the model folder" in result.stderr


def test_nothing_but_the_name_shows_the_help_once(algoshelf: Algoshelf) -> None:
    result = algoshelf()
    assert result.code == 2
    assert result.stderr.count("Usage:") == 1
    assert "List the algorithms that are installed" in result.stderr


def test_a_full_output_is_no_fault_of_ours() -> None:
    program = Path(sys.executable).parent / "algoshelf"
    for arguments in ("list", "list --json"):
        script = f"{program} {arguments} > /dev/full"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "no space left" in done.stderr
        assert "Traceback" not in done.stderr


def test_predict_reads_files_only(in_process: InProcess, model: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    for name in ("pipe.csv", "zero.csv"):
        result = in_process("predict", model, name)
        assert result.code == 2
        assert f"{name}: not a regular file" in result.stderr
