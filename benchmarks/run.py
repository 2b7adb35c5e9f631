"""One command a measurement: python run.py [NAME …] [--data FOLDER] [--cifar10 FOLDER] …

NAME is the beginning of the file's name that is kept under results/; without one, all are listed.
Peers are installed into environments of their own, .venv-peers/NAME, in the versions that
peers/NAME.txt pins. At the end docs/results.md is written anew.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = ROOT / ".venv-peers"
WITH_ALGOSHELF = ("multi-model-server", "flask")  # what they serve are its models

ALGORITHMS = ("mnist-cnn", "image-classification", "text-classification", "kmeans")
RENAMED = {"text-sentiment": "text-classification"}  # kept files have the names of their day
OTHERS = ("tabular", "recommender", "text-embedding", "forecasting", "object-detection")
# The target of each is one that its bundled sample allows within seconds.
BENCHMARKED = {
    "mnist-cnn": "--network large --epochs 2 --devices cpu,cpu:2 --target-metric 0.95",
    "image-classification": (
        "--epochs 12 --devices cpu,cpu:2 --batch-sizes 50 --target-metric 0.3"
    ),
    "text-classification": "--epochs 2 --target-metric 0.8",
    "kmeans": "--k 3 --target-metric 0.526",
}
SERVED = "--repeats 5 --serving --connections 1,8 --seconds 2"
SERVERS = "--mms-python {peer:multi-model-server} --flask-python {peer:flask}"

# What is run, by the name under which it is kept: a program of this folder, or `make`.
MEASUREMENTS = {
    **{
        f"benchmark-{name}": f"twice.py {name} {options} {SERVED}"
        for name, options in BENCHMARKED.items()
    },
    **{f"hand_timed-{name}": f"hand_timed.py {name}" for name in ALGORITHMS},
    "mnist_accuracy-small-8-epochs": "mnist_accuracy.py small {data}/mnist --epochs 8",
    "mnist_accuracy-large": "mnist_accuracy.py large {data}/mnist",
    "cifar_accuracy-airbench-seed1": "cifar_accuracy.py {cifar10} {scratch} 1 airbench",
    "cifar_accuracy-cifar_resnet20_v1-seed1": "cifar_accuracy.py {cifar10} {scratch}",
    "cifar_accuracy-cifar_resnet12_v1_wide-seed1": (
        "cifar_accuracy.py {cifar10} {scratch} 1 cifar_resnet12_v1_wide"
    ),
    "transfer_accuracy": "transfer_accuracy.py",
    **{
        f"text_accuracy-{case}": f"text_accuracy.py {case} --data {{data}}"
        for case in (
            *("sst2-textcnn", "sst2-ngram", "mr-textcnn"),
            *("sst2-bert", "sst2-bert-frozen", "mr-bert"),
        )
    },
    **{
        f"text_accuracy-{case}": f"text_accuracy.py {case} --data {{data}} --glove {{glove}}"
        for case in ("sst2-textcnn-glove", "sst2-bilstm-glove")
    },
    **{
        f"tabular_accuracy-{case}": (
            f"tabular_accuracy.py {case} --data {{data}} --peers {{peer:clustering}}"
        )
        for case in ("adult", "ames", "credit", "titanic")
    },
    "training_speed-tabular": "tabular_speed.py --torch {peer:torch}",
    "training_speed-mnist-cnn": "training_speed.py mnist-cnn --torch {peer:torch}",
    "training_speed-cifar-resnet20": (
        "training_speed.py cifar-resnet20 --cifar10 {cifar10} --torch {peer:torch}"
    ),
    **{
        f"kmeans_k{k}": f"kmeans.py {{data}}/mnist --k {k} --peers {{peer:clustering}}"
        for k in (10, 256)
    },
    **{
        f"recommender_accuracy-{case}": f"recommender_accuracy.py {case} --movielens {{movielens}}"
        for case in ("ratings", "choices")
    },
    "recommender_speed": "recommender_speed.py --movielens {movielens} --torch {peer:torch}",
    "detection_accuracy": "detection_accuracy.py {bccd}",
    "detection_speed": "detection_speed.py {bccd}",
    "recommender_top": "recommender_top.py",
    "m4_baselines": "m4_baselines.py {data}/m4-hourly",
    "embedding_parity": "embedding_parity.py --data {data} --torch {peer:embeddings}",
    "m4_accuracy-tide": "m4_accuracy.py {data}/m4-hourly",
    "m4_accuracy-deepar": "m4_accuracy.py {data}/m4-hourly --network deepar",
    "table_reading": "table_reading.py --pandas {peer:pandas}",
    "recommender_sparse": "recommender_sparse.py",
    "recommender_reading": "recommender_reading.py",
    "kmeans_memory": "kmeans_memory.py",
    "growth": "growth.py",
    "scaling": "scaling.py --cifar10 {cifar10}",
    "same_result": "same_result.py",
    "onnx_sweep": "onnx_sweep.py",
    "adopted": "adopted.py --foreign {foreign} --weights {weights} --mnist {data}/mnist",
    "mutated-parameters": "mutated.py --only parameters --keep mutated-parameters",
    "mutated-adopted-parameters": (
        "mutated.py --adopt --only parameters --keep mutated-adopted-parameters"
    ),
    "mutated-adopted-graphs": "mutated.py --adopt --only graph --keep mutated-adopted-graphs",
    "engines": "engines.py",
    "threads-mnist-cnn": "threads.py",
    **{
        f"serving-compare-{name}": f"serving.py compare {name} {SERVERS}"
        for name in ("mnist-cnn", "text-classification", "image-classification", "object-detection")
    },
    "serving-batching-mnist-cnn": "serving.py batching mnist-cnn",
    **{f"serving-answers-{name}": f"serving.py answers {name}" for name in ALGORITHMS},
    "serving-chaos-mnist-cnn": "serving.py chaos mnist-cnn",
    **{f"hostile-{name}": f"hostile.py {name}" for name in (*ALGORITHMS, *OTHERS)},
    **{
        f"hostile-onnx-{name}": f"hostile.py {name} --engine onnx --requests 20000"
        for name in ALGORITHMS
    },
    "web_app": "web_app.py",
    "typed": "typed.py",
    **{f"transform-{case}": f"transform.py --cases {case}" for case in ("kmeans", "text", "mnist")},
    "tuning-sst2-ngram": "tuning.py sst2-ngram --data {data}",
    "tuning-mnist-cnn": "tuning.py mnist-cnn",
    "drift": "drift.py {data}",
    "toolkits": "make toolkits",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument(
        "--data",
        default=str(ROOT.parent / "shared" / "data"),
        metavar="FOLDER",
        help="holds mnist/, sst2/, rt-polarity/ and tabular/",
    )
    parser.add_argument("--cifar10", metavar="FOLDER", help="holds CIFAR-10's .bin files")
    parser.add_argument("--movielens", metavar="FOLDER", help="holds u.data, u1.base, u1.test, …")
    parser.add_argument("--bccd", metavar="FOLDER", help="BCCD, in VOC's form")
    parser.add_argument("--glove", metavar="FILE", help="glove.6B.50d.txt")
    parser.add_argument("--foreign", metavar="FOLDER", help="public repositories: adopted.py")
    parser.add_argument("--weights", metavar="FILE", help="MobileNetV2's features on ImageNet")
    parser.add_argument(
        "--scratch",
        default=str(ROOT / "checkpoints"),
        metavar="FOLDER",
        help="for checkpoints, from which the same command goes on",
    )
    given = vars(parser.parse_args())
    names = given.pop("names")
    if not names:
        for name, words in MEASUREMENTS.items():
            print(f"{name:45} {words}")
        return
    for unknown in set(names) - MEASUREMENTS.keys():
        sys.exit(f"{unknown}: no such measurement; without a name, run.py lists them all")
    commands = {name: command(name, given) for name in names}
    for name, words in commands.items():
        print(f"{name}: {shlex.join(words)}", file=sys.stderr)
        code = subprocess.run(words, cwd=ROOT, check=False).returncode
        if code:
            sys.exit(f"{name} ended with exit code {code}; run.py --help tells what it may need")
    subprocess.run([sys.executable, HERE / "page.py"], check=True)


def command(name: str, given: dict[str, str | None]) -> list[str]:
    """The words of a measurement, its data and peers filled in."""

    def filled(match: re.Match[str]) -> str:
        what = match[1]
        if what.startswith("peer:"):
            return str(peer(what[len("peer:") :]))
        value = given[what]
        if value is None:
            sys.exit(f"{name} needs --{what}; run.py --help says what that is")
        return value

    program, *words = (
        re.sub(r"{([a-z0-9:-]+)}", filled, word) for word in MEASUREMENTS[name].split()
    )
    if program.endswith(".py"):
        return [sys.executable, str(HERE / program), *words]
    return [program, *words]


def peer(name: str) -> Path:
    """The interpreter of an environment with what ``peers/NAME.txt`` pins."""
    folder, pinned = PEERS / name, HERE / "peers" / f"{name}.txt"
    python, done = folder / "bin" / "python", folder / "installed.txt"
    if not done.exists() or done.read_text() != pinned.read_text():
        venv.create(folder, clear=True, with_pip=True)
        own = ["--editable", str(ROOT)] if name in WITH_ALGOSHELF else []
        install = [python, "-m", "pip", "install", "--quiet", "--requirement", pinned, *own]
        subprocess.run(install, check=True)
        done.write_text(pinned.read_text())
    return python


if __name__ == "__main__":
    main()
