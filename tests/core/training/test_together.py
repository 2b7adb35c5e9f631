"""Hosts with data of their own, at unlike speeds, or gone: right, or refused by name; never silent.

Real processes over MXNet's parameter server, in the roles that AWS's toolkit gives them: nobody
looks on. ``ALGOSHELF_REPEATS=20`` repeats what depends on time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import numpy as np
import pytest
from algoshelf.algorithms.image_classification import ImageClassification
from algoshelf.algorithms.kmeans import KMeans
from algoshelf.algorithms.text_classification import TextClassification
from algoshelf.algorithms.text_embedding import TextEmbedding
from algoshelf.core import DataError, Reporter
from algoshelf.core.artifact.folder import Artifact
from algoshelf.core.training import RunOptions, train
from algoshelf.core.training.cluster import Cluster
from algoshelf.core.training.together import differences, united
from PIL import Image

from tests.conftest import free_port
from tests.core.data.test_boxes import picture, xml
from tests.core.training.test_cluster import PLUGIN, PROGRAM, REPEATS, start_roles, write_rows
from tests.registry.conftest import install
from tests.toolkits.containers import Host, missing, network

PATIENCE = 200  # seconds, on a busy machine

# Of the plugin acme-tabular: the host that a variable names does something odd at some place.
ODD = """
    def score(self, outputs, data):
        import os, time
        time.sleep(float(os.environ.get("ACME_SLOW", "0")))
        return super().score(outputs, data)

    def loss(self, hyperparameters):
        import os
        loss = super().loss(hyperparameters)
        if "ACME_DIES" in os.environ:
            loss.hybridize = lambda **_: os._exit(9)
        return loss


@hookimpl
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", "acme-tabular", PLUGIN.replace("\n@hookimpl\n", ODD))
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}


def command(name: str, data: Path, *more: object) -> list[str]:
    return [PROGRAM, "train", name, "--train", str(data), *map(str, more)]


@contextmanager
def hosts(
    folder: Path,
    environment: Mapping[str, str],
    commands: Sequence[list[str]],
    *own: Mapping[str, str],
) -> Iterator[list[subprocess.Popen[str]]]:
    """The workers of a job under way, each with variables of its ``own``; the block ends them."""
    named = [
        ["env", f"ALGOSHELF_HOST=host-{i}", *(f"{k}={v}" for k, v in each.items()), *command]
        for i, (command, each) in enumerate(zip(commands, [*own, *({} for _ in commands)]))
    ]
    processes = start_roles(folder, dict(environment), named)
    try:
        yield processes[2:]
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.communicate()


def together(
    folder: Path, environment: Mapping[str, str], commands: Sequence[list[str]], *own: Any
) -> tuple[list[int], list[str]]:
    """The exit codes and logs of a job's workers."""
    with hosts(folder, environment, commands, *own) as workers:
        logs = [worker.communicate(timeout=PATIENCE)[1] for worker in workers]
        return [worker.returncode for worker in workers], logs


def model_of(folder: Path) -> Path:
    """The one that the chief, whichever it was, has left."""
    (found,) = (path.parent for path in folder.glob("m[01]/algorithm.json"))
    return found


def write_texts(path: Path, words: Mapping[str, str], numbers: range) -> Path:
    """A text for each number and label, of words that only the label has."""
    rows = [
        f"{label}\t{word}{i} {word}{i + 1} {word}" for i in numbers for label, word in words.items()
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


TEXT = ("--epochs", 8, "--batch-size", 10, "--word-dropout", 0, "--dropout", 0)


def text_job(
    folder: Path, environment: Mapping[str, str], files: Sequence[Path]
) -> tuple[Artifact, str]:
    commands = [
        command("text-classification", file, *TEXT, "--output", f"m{i}")
        for i, file in enumerate(files)
    ]
    codes, logs = together(folder, environment, commands)
    assert codes == [0, 0], logs
    return Artifact.open(model_of(folder)), "".join(logs)


def test_texts_of_unlike_classes_are_learned_as_the_union(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """Each host's classes were 0 and 1 to it, and the accuracy 1.0."""
    labels = [{"neg": "bad", "pos": "good"}, {"anger": "mad", "joy": "glad"}]
    files = [write_texts(tmp_path / f"{i}.tsv", each, range(30)) for i, each in enumerate(labels)]
    made, log = text_job(tmp_path, environment, files)
    assert made.metadata.encoding["classes"] == ["anger", "joy", "neg", "pos"]
    assert "classes: the hosts' data differ: " in log
    assert "2, not everywhere: neg, pos on host-0" in log
    assert "2, not everywhere: anger, joy on host-1" in log
    both = write_texts(tmp_path / "both.tsv", {**labels[0], **labels[1]}, range(30))
    algorithm = TextClassification()
    found = algorithm.evaluate(algorithm.model_fn(made.folder), both)
    assert found.metrics["accuracy"] == 1.0
    # of the four classes: the figure of two hosts is that of the examples of both
    assert made.metadata.metrics["validation:accuracy"] == 1.0


def test_texts_of_unlike_words_are_learned_on_both_hosts(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """As many words on each, so that the shapes told nothing."""
    labels = [{"neg": "bad", "pos": "good"}, {"neg": "sad", "pos": "glad"}]
    files = [write_texts(tmp_path / f"{i}.tsv", each, range(30)) for i, each in enumerate(labels)]
    made, _ = text_job(tmp_path, environment, files)
    algorithm = TextClassification()
    model = algorithm.model_fn(made.folder)
    for file in files:
        assert algorithm.evaluate(model, file).metrics["accuracy"] == 1.0


def test_unlike_texts_of_hosts_are_found_in_one_index(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    files = [tmp_path / f"{i}.txt" for i in range(2)]
    files[0].write_text("warm bread and soup\nbread with cheese\n")
    files[1].write_text("a comet in the sky\nstars and a comet\nthe moon\n")
    commands = [
        command("text-embedding", file, "--output", f"m{i}") for i, file in enumerate(files)
    ]
    codes, logs = together(tmp_path, environment, commands)
    assert codes == [0, 0], logs
    algorithm = TextEmbedding()
    model = algorithm.model_fn(model_of(tmp_path))
    answers = algorithm.predict_fn(["cheese", "comet"], model).answers
    assert [answer.nearest[0]["text"] for answer in answers if answer.nearest] == [
        "bread with cheese", "stars and a comet",
    ]  # fmt: skip
    assert len(model.index) == 5  # type: ignore[attr-defined]


def write_pictures(folder: Path, classes: Sequence[str]) -> Path:
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(12):
            picture = Image.new("RGB", (32, 32), (sum(map(ord, name)) % 256, 20 * i, 128))
            picture.save(folder / name / f"{i}.png")
    return folder


@pytest.mark.parametrize("shares", [(["cat", "dog"], ["dog", "zebra"]), (["cat"], ["zebra"])])
def test_folders_of_unlike_classes_are_learned_as_the_union(
    tmp_path: Path, environment: dict[str, str], shares: Sequence[list[str]]
) -> None:
    """One class is too few to tell apart; a class a host, as some shards are, is not."""
    folders = [write_pictures(tmp_path / f"part{i}", names) for i, names in enumerate(shares)]
    more = ("--epochs", 1, "--batch-size", 8)
    commands = [
        command("image-classification", folder, *more, "--output", f"m{i}")
        for i, folder in enumerate(folders)
    ]
    codes, logs = together(tmp_path, environment, commands)
    assert codes == [0, 0], logs
    made = Artifact.open(model_of(tmp_path))
    union = sorted({*shares[0], *shares[1]})
    assert made.metadata.encoding["classes"] == union
    everything = write_pictures(tmp_path / "all", union)
    algorithm = ImageClassification()
    found = algorithm.evaluate(algorithm.model_fn(made.folder), everything)
    assert found.examples == 12 * len(union)


def test_rows_of_each_host_count_as_those_of_one(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    rng = np.random.default_rng(3)
    rows = np.concatenate([rng.normal(c, 0.1, (n, 2)) for c, n in ((0, 40), (5, 25), (9, 10))])
    files = []
    for i, part in enumerate((rows[:40], rows[40:])):
        files.append(tmp_path / f"{i}.csv")
        np.savetxt(files[-1], part, delimiter=",", fmt="%.5f")
    more = ("--k", 3, "--restarts", 2)
    commands = [
        command("kmeans", file, *more, "--test", file, "--output", f"m{i}")
        for i, file in enumerate(files)
    ]
    codes, logs = together(tmp_path, environment, commands)
    assert codes == [0, 0], logs
    found = Artifact.open(model_of(tmp_path)).metadata.metrics
    whole = tmp_path / "whole.csv"
    whole.write_text("".join(file.read_text() for file in files))
    expected = train(
        KMeans(), {"train": whole, "test": whole}, KMeans.Hyperparameters(k=3, restarts=2),
        tmp_path / "one", reporter=Reporter(),
    )[1]  # fmt: skip
    for name in ("train:ssd", "test:ssd", "test:msd"):
        assert found[name] == pytest.approx(expected[name], rel=1e-3), name


def test_rows_of_unlike_columns_are_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    files = []
    for i, columns in enumerate((2, 3)):
        files.append(tmp_path / f"{i}.csv")
        np.savetxt(files[-1], np.random.default_rng(i).normal(size=(20, columns)), delimiter=",")
    commands = [command("kmeans", file, "--output", f"m{i}") for i, file in enumerate(files)]
    codes, logs = together(tmp_path, environment, commands)
    assert codes == [2, 2], logs
    for log in logs:
        assert "the hosts do not agree on the number of columns: " in log
        assert "2 on host-0" in log
        assert "3 on host-1" in log


def test_hosts_with_unlike_settings_are_refused(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    rows = write_rows(tmp_path / "rows.csv", 60)
    commands = [
        command("acme-tabular", rows, "--seed", i + 1, "--epochs", i + 2, "--output", f"m{i}")
        for i in range(2)
    ]
    codes, logs = together(tmp_path, environment, commands)
    assert codes == [2, 2], logs
    for log in logs:
        assert "the hosts do not agree on hyperparameter epochs: " in log
        assert "the hosts do not agree on seed: " in log


def test_what_is_no_name_is_not_united() -> None:
    hosts = ("one", "two")
    with pytest.raises(DataError, match=r"mean: the hosts' data differ: 0.25 on one; 0.5 on two"):
        united([{"mean": 0.25, "classes": ["a"]}, {"mean": 0.5, "classes": ["a"]}], hosts)
    with pytest.raises(DataError, match="scale: the hosts' data differ"):
        united([{"scale": [1, 2]}, {"scale": [2, 3]}], hosts)
    (told,) = differences([{"classes": ["a", "b"]}, {"classes": ["b", "a"]}], hosts)
    assert told == "classes: the hosts have the same ones in a different order"


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ((["b", "c"], ["a", "c"]), ["a", "b", "c"]),
        ((["2", "10"], ["3"]), ["2", "3", "10"]),
        ((["10", "2"], ["10", "3"]), ["10", "2", "3"]),
        ((["<pad>", "<unk>", "the", "a"], ["<pad>", "<unk>", "a", "it"]),
         ["<pad>", "<unk>", "the", "a", "it"]),
    ],
)  # fmt: skip
def test_names_are_united_in_the_order_that_they_have(
    lists: tuple[list[str], ...], expected: list[str]
) -> None:
    assert united([{"names": each} for each in lists], ("one", "two")) == {"names": expected}


@pytest.mark.apart
def test_a_slow_validation_ends_no_healthy_job(tmp_path: Path, environment: dict[str, str]) -> None:
    """Longer than a host may be silent; the chief alone puts the figures together."""
    rows = write_rows(tmp_path / "rows.csv", 200)
    more = ("--test", rows, "--epochs", 1, "--peer-timeout", "8s")
    for number in range(REPEATS):
        folder = tmp_path / str(number)
        folder.mkdir()
        commands = [
            command("acme-tabular", rows, *more, "--output", folder / f"m{i}") for i in range(2)
        ]
        codes, logs = together(folder, {**environment, "ACME_SLOW": "12"}, commands)
        assert codes == [0, 0], logs
        model_of(folder)


def test_a_host_that_hangs_is_named(tmp_path: Path, environment: dict[str, str]) -> None:
    rows = write_rows(tmp_path / "rows.csv", 200)
    commands = [
        command(
            "acme-tabular", rows, "--epochs", 1000, "--peer-timeout", "15s",
            "--metrics", tmp_path / "metrics", "--output", f"m{i}",
        )
        for i in range(2)
    ]  # fmt: skip
    with hosts(tmp_path, environment, commands) as workers:
        while not (tmp_path / "metrics").exists():
            assert workers[0].poll() is None
            time.sleep(0.1)
        workers[1].send_signal(signal.SIGSTOP)
        log = workers[0].communicate(timeout=PATIENCE)[1]
        assert workers[0].returncode == 1
        # it may be the one that connects the others
        assert "host-1 has said nothing for 15 s" in log or "host-1, which connects them" in log


@pytest.mark.parametrize("victim", [0, 1])
def test_a_host_that_dies_as_the_arrays_begin_ends_the_others(
    tmp_path: Path, environment: dict[str, str], victim: int
) -> None:
    """Between two barriers of the KVStore, in which the other would have waited for good."""
    rows = write_rows(tmp_path / "rows.csv", 200)
    commands = [command("acme-tabular", rows, "--output", f"m{i}") for i in range(2)]
    own: list[dict[str, str]] = [{}, {}]
    own[victim] = {"ACME_DIES": "1"}
    for _ in range(REPEATS):
        codes, logs = together(tmp_path, environment, commands, *own)
        assert codes[victim] == 9, logs
        assert codes[1 - victim] == 1, logs
        assert f"host-{victim} has died" in logs[1 - victim]


def test_a_host_whose_data_alone_is_bad_is_quoted_by_the_others(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    rows = [write_rows(tmp_path / f"{i}.csv", 200) for i in range(2)]
    with rows[1].open("a") as stream:
        stream.write("7,0,0,0\n")
    commands = [command("acme-tabular", each, "--output", f"m{i}") for i, each in enumerate(rows)]
    codes, logs = together(tmp_path, environment, commands)
    assert codes == [2, 2], logs
    assert f"host-1 failed: {rows[1]}: line 201" in logs[0]


@pytest.fixture
def machines() -> Iterator[list[Host]]:
    """Two, which reach each other and nothing else."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with network() as found:
        yield found


@contextmanager
def job_of(
    machines: Sequence[Host], folder: Path, environment: Mapping[str, str],
    commands: Sequence[list[str]],
) -> Iterator[list[subprocess.Popen[str]]]:  # fmt: skip
    """A job whose hosts are ``machines``, each with a server; its workers."""
    port = str(free_port())
    serve = [sys.executable, "-c", "from algoshelf.core import mx; mx.load()"]
    processes = []
    for machine, command in zip(machines, commands):
        shared = {
            **environment, "DMLC_PS_ROOT_URI": machines[0].address, "DMLC_PS_ROOT_PORT": port,
            "DMLC_NODE_HOST": machine.address, "DMLC_NUM_WORKER": "2", "DMLC_NUM_SERVER": "2",
            "ALGOSHELF_HOST": machine.name,
        }  # fmt: skip
        roles = [("server", serve), ("worker", command)]
        for role, each in roles if processes else [("scheduler", serve), *roles]:
            started = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{machine.namespace}", *each], cwd=folder,
                env={**shared, "DMLC_ROLE": role}, stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL, text=True,
            )  # fmt: skip
            processes.append(started)
    try:
        yield [processes[2], processes[4]]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_machines_with_unlike_data_learn_the_union(
    machines: list[Host], tmp_path: Path, environment: dict[str, str]
) -> None:
    labels = [{"neg": "bad", "pos": "good"}, {"anger": "mad", "joy": "glad"}]
    files = [write_texts(tmp_path / f"{i}.tsv", each, range(30)) for i, each in enumerate(labels)]
    commands = [
        command("text-classification", file, *TEXT, "--output", f"m{i}")
        for i, file in enumerate(files)
    ]
    with job_of(machines, tmp_path, environment, commands) as workers:
        logs = [worker.communicate(timeout=PATIENCE)[1] for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0], logs
    metadata = Artifact.open(model_of(tmp_path)).metadata
    assert metadata.encoding["classes"] == ["anger", "joy", "neg", "pos"]
    assert metadata.metrics["validation:accuracy"] == 1.0


def test_machines_that_are_cut_off_name_each_other(
    machines: list[Host], tmp_path: Path, environment: dict[str, str]
) -> None:
    """Nobody dies, no connection is closed: nothing arrives any more."""
    rows = write_rows(tmp_path / "rows.csv", 200)
    more = ("--epochs", 1000, "--peer-timeout", "15s", "--metrics", tmp_path / "metrics")
    commands = [command("acme-tabular", rows, *more, "--output", f"m{i}") for i in range(2)]
    with job_of(machines, tmp_path, environment, commands) as workers:
        while not (tmp_path / "metrics").exists():
            assert workers[0].poll() is None
            time.sleep(0.1)
        cut = ["ip", "-n", machines[1].namespace, "link", "set", "eth0", "down"]
        subprocess.run(cut, check=True, timeout=30)
        logs = [worker.communicate(timeout=PATIENCE)[1] for worker in workers]
        assert [worker.returncode for worker in workers] == [1, 1]
    assert "algo-2 has said nothing for 15 s" in logs[0] or "algo-2 cannot be reached" in logs[0]
    assert "algo-1, which connects them, hangs or is cut off" in logs[1]


def test_missing_hosts_are_counted(tmp_path: Path, environment: dict[str, str]) -> None:
    rows = write_rows(tmp_path / "rows.csv", 60)
    lonely = {
        **environment, "DMLC_ROLE": "worker", "DMLC_NUM_WORKER": "3", "DMLC_NUM_SERVER": "1",
        "DMLC_PS_ROOT_URI": "127.0.0.1", "DMLC_PS_ROOT_PORT": str(free_port()),
        "DMLC_NODE_HOST": "127.0.0.1", "ALGOSHELF_HOST": "host-0",
    }  # fmt: skip
    done = subprocess.run(
        command("acme-tabular", rows, "--peer-timeout", "3s"), cwd=tmp_path, env=lonely,
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 1
    assert "1 of 3 are here (host-0)" in done.stderr


def test_a_damaged_checkpoint_is_told_once_and_passed_over_by_all(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """In a folder that the hosts share."""
    rows = write_rows(tmp_path / "rows.csv", 200)
    more = ("--checkpoints", "c", "--peer-timeout", "60s")

    def commands(epochs: int) -> list[list[str]]:
        return [
            command("acme-tabular", rows, *more, "--epochs", epochs, "--output", f"m{i}")
            for i in range(2)
        ]

    codes, logs = together(tmp_path, environment, commands(3))
    assert codes == [0, 0], logs
    newest = max((tmp_path / "c").glob("step-*"))
    (newest / "network.params").write_bytes(b"")
    codes, logs = together(tmp_path, environment, commands(3))
    assert codes == [0, 0], logs
    whole = "".join(logs)
    assert whole.count(f"{newest.name}: damaged") == 1
    assert "resuming after step" in whole
    assert len(list((tmp_path / "c").glob("damaged-*"))) == 1


EXACT = """
import json, sys
import numpy as np
from algoshelf.core.training.cluster import HostCluster
with HostCluster("dist_sync", 100.0, print) as cluster:
    mine = [16777219 + cluster.rank, 2**53 - 1, 0.1]
    row = cluster.gather(mine)
    total = cluster.sum_whole(np.array([2**40 + 1, 16777219]))
    arrays = cluster.gather_arrays(np.arange(cluster.rank, dtype=np.int64) + 2**60, "some")
    print(json.dumps([row.tolist(), total.tolist(), [each.tolist() for each in arrays],
                      cluster.exchange({"seed": 2**62 + 1}, "a seed")]), file=sys.stderr)
"""


def test_what_has_to_be_exact_arrives_so(tmp_path: Path, environment: dict[str, str]) -> None:
    commands = [[sys.executable, "-c", EXACT]] * 2
    codes, logs = together(tmp_path, environment, commands)
    assert codes == [0, 0], logs
    expected = (
        "[[[16777219.0, 9007199254740991.0, 0.1], [16777220.0, 9007199254740991.0, 0.1]], "
        "[2199023255554, 33554438], [[], [1152921504606846976]], "
        '[{"seed": 4611686018427387905}, {"seed": 4611686018427387905}]]'
    )
    for log in logs:
        assert expected in log


def test_more_examples_than_float32_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """16,777,219, of which float32 makes one more: a batch too many was asked for."""
    from tests.core.training.many import Many

    assert Cluster().gather([16_777_219])[0, 0] == 16_777_219
    (tmp_path / "data").touch()
    settings = Many.Hyperparameters.parse({"epochs": "1", "batch_size": str(16_777_220 // 397)})
    channels = {"train": tmp_path / "data", "validation": tmp_path / "data"}
    train(Many(), channels, settings, tmp_path / "m", options=RunOptions(), reporter=Reporter())
    assert Artifact.open(tmp_path / "m").metadata.data["train"] == "16777219"


DETECTOR = Path(__file__).parents[3] / "registry/cli/scaffold/detection/my_algorithm/__init__.py"


@pytest.mark.apart
def test_pictures_with_unlike_classes_and_numbers_of_boxes_are_learned_together(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    install(tmp_path / "site", "my-algorithm", DETECTOR.read_text())
    parts = [[("cat", 8, 6, 40, 30)], [("dog", 8, 6, 40, 30), ("dog", 48, 30, 72, 54)]]
    for number, objects in enumerate(parts):
        (tmp_path / f"part{number}").mkdir()
        for i in range(10):
            picture(objects).save(tmp_path / f"part{number}" / f"{i}.png")
            (tmp_path / f"part{number}" / f"{i}.xml").write_text(xml(objects))
    commands = [
        command("my-algorithm", tmp_path / f"part{i}", "--epochs", 2, "--output", f"m{i}")
        for i in range(2)
    ]
    codes, logs = together(tmp_path, environment, commands)
    assert codes == [0, 0], logs
    made = Artifact.open(model_of(tmp_path))
    assert made.metadata.encoding == {"classes": ["cat", "dog"], "boxes": 2}
    assert "validation:map_50" in made.metadata.metrics
    assert "the metrics cover only" not in "".join(logs)
