"""Write docs/results.md from all that is kept under results/: python page.py [--check]

What was measured where stands in the names and in the contents of the files; nothing of a table is
typed by hand. What is kept of several processors stands side by side. A measurement of run.py
without a file is named as not measured. With --check nothing is written: it fails where the page is
not what would be written.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Callable, Iterator

from algoshelf.registry.benchmark.compare import compare
from algoshelf.registry.benchmark.figures import label
from algoshelf.registry.benchmark.report import cell, connections
from algoshelf.registry.benchmark.results_file import read
from environment import RESULTS, design, where
from run import MEASUREMENTS, RENAMED, ROOT

PAGE = ROOT / "docs" / "results.md"
REPORT, AGAIN, EARLIER = "report.html", "again.jsonl", "earlier"
ENVIRONMENT = "environment.json"
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Kept:
    """A measurement under results/: a JSON document, or the folder of `algoshelf benchmark`."""

    name: str
    path: Path
    environment: dict[str, Any]

    @property
    def document(self) -> Any:
        return json.loads(self.path.read_text())

    @property
    def date(self) -> str:
        return self.environment["date"]

    @property
    def processor(self) -> str:
        return design(self.environment["processor"])

    def link(self) -> str:
        target = self.path / REPORT if self.path.is_dir() else self.path
        return f"[{self.name}](../{target.relative_to(ROOT)})"

    def pictures(self) -> list[str]:
        """Links to the plots and pages that lie beside the document."""
        beside = self.path.parent.glob(f"{self.path.stem}.*")
        return [
            f"[{other.suffix[1:]}](../{other.relative_to(ROOT)})"
            for other in sorted(beside)
            if other != self.path and not self.path.is_dir()
        ]


@dataclass(frozen=True)
class Section:
    """``rows`` gives those of one measurement; a link and the processor come before their cells.

    The first ``naming`` cells of a row say what was measured: rows that agree in them stand one
    below the other, a processor each.
    """

    title: str
    prefix: str
    told: str
    headings: Row
    rows: Callable[[Kept], Iterator[Row]]
    naming: int = 1


def main() -> None:
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
            sys.exit(f"{PAGE.relative_to(ROOT)} is not of benchmarks/results: run page.py")
        return
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE.relative_to(ROOT))


def page() -> str:
    """All measurements, by what they are of."""
    found = kept()
    parts = [INTRODUCTION, "\n".join(_processors(found))]
    for section in SECTIONS:
        names = dict.fromkeys(
            each.name for each in found if re.fullmatch(section.prefix, each.name)
        )
        rows = [
            row
            for name in names
            for row in _rows(section, [each for each in found if each.name == name])
        ]
        if rows:
            table = _table(("measurement", "processor", *section.headings), rows)
            parts += [f"## {section.title}", section.told, table]
    missing = [f"`{name}`" for name in MEASUREMENTS if name not in {each.name for each in found}]
    parts.append(NOT_MEASURED + (f"\n- Here: {', '.join(missing)}." if missing else ""))
    return "\n\n".join(filter(None, parts)) + "\n"


def kept() -> list[Kept]:
    """What lies under results/, in the order of run.py; of one name the newest first."""
    order = list(MEASUREMENTS)
    paths = [path for path in RESULTS.iterdir() if path.is_dir() or path.suffix == ".json"]
    found = sorted(map(_kept, paths), key=lambda each: (each.date, each.path.name), reverse=True)
    return sorted(found, key=lambda each: order.index(each.name))


def _kept(path: Path) -> Kept:
    document = json.loads((path / ENVIRONMENT if path.is_dir() else path).read_text())
    known = document if path.is_dir() else document["environment"]
    title, place = path.name if path.is_dir() else path.stem, where(known)
    if not title.endswith(f"-{place}"):
        sys.exit(f"{path}: its `environment` says {place}, with which its name has to end")
    name = title[: -len(f"-{place}")]
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    if name not in MEASUREMENTS:
        sys.exit(f"{path}: no measurement of run.py keeps a file of this name")
    if "date" not in known:
        sys.exit(f'{path}: its `environment` has no "date" (YYYY-MM-DD) of the measurement')
    return Kept(name, path, known)


def _processors(found: list[Kept]) -> Iterator[str]:
    """A line on each: what is known of it, and of when its measurements are."""
    for processor in sorted({each.processor for each in found}):
        here = [each for each in found if each.processor == processor]
        places = dict.fromkeys(
            f"{known['processor']}, {known['cores']} cores, Python "
            f"{known['python'].rpartition('.')[0]}, mxnet {known['mxnet']}, "
            f"algoshelf {known['algoshelf']}"
            for known in (each.environment for each in here)
        )
        dates = sorted({each.date for each in here})
        span = " to ".join(dict.fromkeys((dates[0], dates[-1])))
        count = f"{len(here)} measurement{'s' * (len(here) > 1)}"
        yield f"- **{processor}**: {'; '.join(places)}. {count} of {span}."


def _rows(section: Section, found: list[Kept]) -> Iterator[Row]:
    """The rows of one measurement, with the link and the processor before them.

    Where it is kept of several processors, their rows alternate.
    """
    by_subject: dict[Row, list[tuple[Kept, Row]]] = {}
    for each in found:
        for row in section.rows(each):
            by_subject.setdefault(row[: section.naming], []).append((each, row))
    newest = max(each.date for each in found)
    linked: set[Path] = set()
    said = None
    for subject, rows in by_subject.items():
        for each, (first, *others) in rows:
            link = place = ""
            if each.path not in linked:
                link = ", ".join([each.link(), *each.pictures()])
            if each.path not in linked or len(found) > 1:
                older = " (older)" if each.date < newest else ""
                place = f"{each.processor}, {each.date}{older}"
            linked.add(each.path)
            yield (link, place, "" if subject and first == said else first, *others)
            said = first


def _table(headings: Row, rows: list[Row]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _span(values: list[float], form: str = ".2f") -> str:
    """``0.92 to 1.03``."""
    return f"{min(values):{form}} to {max(values):{form}}"


# The rows of each kind of measurement


def benchmarked(each: Kept) -> Iterator[Row]:
    first = read(each.path)
    verdict = _verdicts(each.path)
    if (each.path / EARLIER).is_dir():
        verdict += f"; an earlier pair: {_verdicts(each.path / EARLIER)}"
    for record in first:
        if record.kind == "serving":
            most = connections(record)[-1]
            told = (
                f"cold start {cell(record, 'cold_start_seconds')}; with {most} connections "
                f"{cell(record, f'requests_per_second@{most}')}, "
                f"p99 {cell(record, f'p99_ms@{most}')}"
            )
            yield f"serving, {label(record)}", told, "", "", ""
        else:
            goal = record.objective
            time = "no target"
            if goal.target is not None:
                sign = "≥" if goal.maximize else "≤"
                time = f"{goal.metric} {sign} {goal.target:g}: {cell(record, 'seconds_to_target')}"
            memory = cell(record, "peak_memory_mb")
            yield label(record), cell(record, "throughput"), time, memory, verdict
            verdict = ""


def _verdicts(folder: Path) -> str:
    """What `compare` says of the two measurements in ``folder``, counted."""
    compared = compare(read(folder), read(folder / AGAIN)).comparisons
    found = Counter(c.verdict for c in compared)
    return ", ".join(f"{count} × {told}" for told, count in found.most_common())


def hand_timed(each: Kept) -> Iterator[Row]:
    ratios = each.document["ratios"]
    medians = each.document["median_ratios"]
    yield tuple(f"{medians[side]:.3f} ({_span(ratios[side], '.3f')})" for side in medians)


def accuracy(each: Kept) -> Iterator[Row]:
    found = each.document
    for run in found.get("runs") or [found]:
        low, high = run.get("interval_95", (None, None))
        confidence = f"{low:.4f} to {high:.4f}" if low else ""
        told = (run.get("what") or found["what"]).replace(" --seed S", "")
        told = f"`{told}`" if told.startswith("algoshelf") else told
        yield told, run["seed"], f"{run['test_accuracy']:.4f}", confidence


def texts(each: Kept) -> Iterator[Row]:
    found = each.document
    reached = [run["test_accuracy"] for run in found["runs"]]
    yield found["data"], len(reached), f"{mean(reached):.4f}", _span(reached, ".4f")


def tables(each: Kept) -> Iterator[Row]:
    found = each.document
    metric = found["metric"]
    for setting, runs in found["runs"].items():
        reached = [run["test"][metric] for run in runs]
        cost = found["mean_test"][setting].get("cost")
        more = "" if cost is None else f"cost of an example {cost:.3f}"
        yield setting, metric, f"{mean(reached):.4f}", _span(reached, ".4f"), more
    for model, figures in found["peers"].get("test", {}).items():
        yield f"{model} (scikit-learn)", metric, f"{figures[metric]:.4f}", "", ""


def recommended(each: Kept) -> Iterator[Row]:
    found = each.document
    for name, network in found["networks"].items():
        runs = network["runs"]
        for metric, value in network["mean"].items():
            span = _span([run[metric] for run in runs], ".4f")
            yield found["data"], f"`{name}`", metric, f"{value:.4f}", f"{len(runs)}: {span}"
    for name, metrics in found["baselines"].items():
        for metric, value in metrics.items():
            yield found["data"], name, metric, f"{value:.4f}", "needs no network"


def by_m4(each: Kept) -> Iterator[Row]:
    found = each.document
    for name, method in found["methods"].items():
        published = method.get("published", {})
        for metric in published or method:
            told = f"{published[metric]:.3f}" if published else ""
            yield found["data"], name, metric, f"{method[metric]:.4f}", told


def detected(each: Kept) -> Iterator[Row]:
    for run in each.document["runs"]:
        metrics = run["metrics"]
        classes = ", ".join(f"{one['name']} {one['ap_50']:.3f}" for one in run["classes"])
        cost = f"{run['train_cpu_seconds'] / 60:.1f} min of a processor"
        told = (run["what"], run["seed"], f"{metrics['map_50']:.4f}", f"{metrics['map']:.4f}")
        yield (*told, classes, cost)


def forecast(each: Kept) -> Iterator[Row]:
    found = each.document
    runs = found["runs"]
    seconds, processor = (
        f"{mean(run[name] for run in runs):.0f} s"
        for name in ("train_seconds", "processor_seconds")
    )
    told = (
        f"{len(runs)} run{'s' * (len(runs) > 1)}: trained in {seconds}, {processor} of a processor"
    )
    methods = {
        f"`{found['what']}`": (found["mean"], told),
        **{name: (metrics, "") for name, metrics in found["baselines"].items()},
        **{name: (metrics, "as published") for name, metrics in found["published"].items()},
    }
    for name, (metrics, note) in methods.items():
        coverage = metrics.get("coverage")
        yield (
            name,
            *(f"{metrics[each]:.3f}" for each in ("owa", "smape", "mase")),
            "" if coverage is None else f"{coverage:.3f}",
            note,
        )


def speeds(each: Kept) -> Iterator[Row]:
    found = each.document
    for name, ratio in found["median_ratios"].items():
        yield found["what"], name, f"{ratio:.2f}", _span(found["ratios"][name])


def drift(each: Kept) -> Iterator[Row]:
    for what, found in each.document["drift"].items():
        for contexts, apart in found.items():
            yield what, contexts, f"{apart:.1e}"


def compared(each: Kept) -> Iterator[Row]:
    for sides, by_load in each.document["median_ratios"].items():
        for load, ratios in by_load.items():
            yield sides, load, *(f"{ratios[name]:.2f}" for name in ("rate", "p50_ms", "p99_ms"))


def answered(each: Kept) -> Iterator[Row]:
    found = each.document
    right, wrong = found["right_answers"], found["wrong_answers"]
    yield f"{right:,}", wrong, found["failed_requests"], f"{found['rate']:,.0f}/s"


def attacked(each: Kept) -> Iterator[Row]:
    found = each.document
    statuses = found["answers_by_status"]
    failed = sum(count for status, count in statuses.items() if status >= "500")
    if "memory" in found:
        between = sum(each["answers"] for each in found["good_requests_meanwhile"].values())
        worker = max(found["memory"], key=lambda process: process["most_mib"])
        held = f"{worker['idle_mib']} MiB idle, {worker['most_mib']} at most"
    else:  # as it was measured before a second model was asked meanwhile
        between, memory = found["good_requests_in_between"], found["memory_mb"]
        held = f"{memory[len(memory) // 4]} to {memory[-1]} MiB"
    yield f"{found['requests']:,}", failed, f"{between:,}", held


def typed(each: Kept) -> Iterator[Row]:
    for page, found in each.document["pages"].items():
        times = (f"{found[name]} ms" for name in ("p50_ms", "p95_ms", "most_ms"))
        yield page, found["reviews"], *times


def reviewed(each: Kept) -> Iterator[Row]:
    found = each.document
    statuses = found["answers_by_status"]
    failed = sum(count for status, count in statuses.items() if status != "200")
    kept = f"{found['corrections_kept']:,} of {found['corrections_given']:,}"
    times = (f"{found[name]:.0f} ms" for name in ("p50_ms", "p99_ms"))
    yield found["connections"], found["seconds"], f"{statuses['200']:,}", failed, kept, *times


def transformed(each: Kept) -> Iterator[Row]:
    found = each.document
    memory = ", ".join(f"{mb:.0f} MiB" for mb in found["peak_mb_by_rows"].values())
    killed = "the same bytes" if found["kill_9"]["identical"] else "OTHER BYTES"
    yield f"{found['rows']:,}", f"{found['rate_to_bare']:.2f}", memory, killed


def swept(each: Kept) -> Iterator[Row]:
    listed, networks = each.document["listed"], each.document["networks"].values()
    for status in each.document["counts"]:
        found = [network for network in networks if network["status"] == status]
        worst = [network["difference"] for network in found if "difference" in network]
        yield status, f"{len(found)} of {listed}", f"{max(worst):.1e}" if worst else ""


def taken(each: Kept) -> Iterator[Row]:
    for name, model in each.document["models"].items():
        known = f"{model['accuracy']:.4f}" if "accuracy" in model else ""
        onnx = f"{model['onnx']:.1e}" if "onnx" in model else "refused"
        yield name, model["weights"], f"{model['difference']:.1e}", onnx, known


def changed(each: Kept) -> Iterator[Row]:
    found = each.document
    ended = Counter()  # type: Counter[str]
    for how, count in found["ended"].items():
        ended[how.split(": ")[1]] += count
    told = ", ".join(f"{count:,} {how}" for how, count in sorted(ended.items()))
    strange = len(found["strange"])
    yield f"{found['count']:,}", told, f"{found['most_seconds']} s", str(strange)


def engines(each: Kept) -> Iterator[Row]:
    for name, found in each.document["models"].items():
        yield name, *(f"{ratio['median']:.2f}" for ratio in found["ratios"].values())


def beside(each: Kept) -> Iterator[Row]:
    for name, by_count in each.document["medians"].items():
        *most, (count, last) = by_count.items()
        yield name, *(f"{rate:,}" for _, rate in most), f"{last:,} (beside {count})"


def memory(each: Kept) -> Iterator[Row]:
    for run in each.document["runs"]:
        yield f"{run['rows_mb']:,} MiB", f"{run['peak_memory_mb']:,} MiB", f"{run['seconds']} s"


def grown(each: Kept) -> Iterator[Row]:
    for work, points in each.document["works"].items():
        for size, found in points.items():
            seconds = found["processor_seconds"]
            yield work, f"{int(size):,}", f"{seconds:,.1f} s", f"{found['peak_mib']:,} MiB"


def vectors_of_texts(kept: Kept) -> Iterator[Row]:
    search = kept.document["search"]
    for engine, found in kept.document["engines"].items():
        yield (
            engine,
            f"{found['largest_difference']:.1e}",
            f"{found['texts_a_second_of_a_processor']:.0f}",
            f"{search['processor_ms']:.1f} ms among {search['vectors']:,}",
        )


def best_items(each: Kept) -> Iterator[Row]:
    for run in each.document["runs"]:
        took = run["ms"]
        yield (
            f"{run['items']:,}", run["engine"], f"{took['ours']:.0f} ms", f"{took['bare']:.0f} ms",
            f"{run['ratio']:.2f}", f"{took['product']:.0f} ms",
        )  # fmt: skip


def sparse_gradients(each: Kept) -> Iterator[Row]:
    for run in each.document["runs"]:
        took = run["ms_a_step"]
        yield (
            run["size"], run["contexts"], f"{took['dense']:.1f} ms", f"{took['row_sparse']:.1f} ms"
        )  # fmt: skip


def many_interactions(each: Kept) -> Iterator[Row]:
    read, learned = each.document["reading"], each.document["training"]
    rows = f"{read['rows']:,}"
    seconds = f"{read['processor_seconds']:.0f} s of a processor"
    yield "reading", rows, seconds, f"{read['peak_mb']:,} MB"
    speed = f"{learned['rows_per_second']:,} a second"
    yield f"reading and {learned['steps']:,} steps", rows, speed, f"{learned['peak_mb']:,} MB"


def tuned(each: Kept) -> Iterator[Row]:
    found = each.document
    states = ", ".join(f"{count} {state}" for state, count in found["counts"].items())
    tests = [found["test"][arm]["accuracy"] for arm in ("best", "default")]
    yield states, found["verdict"]["sentence"], *(f"{value:.4f}" for value in tests)


def drifting(each: Kept) -> Iterator[Row]:
    for run in each.document["runs"]:
        found = [f"{run['found'][size]} of {run['of']}" for size in run["found"]]
        yield run["what"], run["by"], ", ".join(f"{n}: {f}" for n, f in zip(run["found"], found))


def toolkits(each: Kept) -> Iterator[Row]:
    counts = Counter(each.document["tests"].values())
    image = each.document["image"]
    told = ", ".join(f"{name} {image[name]}" for name in ("python", "mxnet", "sagemaker-training"))
    yield ", ".join(f"{count} {how}" for how, count in counts.items()), told


SECTIONS = (
    Section(
        "What a training and its serving cost",
        "benchmark-.*",
        "`algoshelf benchmark` on the bundled samples, by its [rules](benchmark.md#the-rules), one "
        "thread an operator (`OMP_NUM_THREADS=1`; by default all cores work on one device, and two "
        "replicas gain little), and the same once more: `algoshelf benchmark compare` says of each "
        "figure whether it differs. ± is the farthest run. The link leads to the whole report.",
        ("setting", "throughput", "time to target", "peak memory", "the same again"),
        benchmarked,
    ),
    Section(
        "Does it tell the truth?",
        "hand_timed-.*",
        "Its rates, divided by those of a stopwatch outside of the program, which times whole "
        "processes of `algoshelf train`; median and range of the rounds.",
        ("with validation / stopwatch", "throughput / stopwatch"),
        hand_timed,
        naming=0,
    ),
    Section(
        "Accuracy on images",
        "(mnist|cifar|transfer)_accuracy.*",
        "On the official test images; of transfer on those of the bundled sample.",
        ("what", "seed", "test accuracy", "95 % confidence"),
        accuracy,
        naming=2,
    ),
    Section(
        "Accuracy on texts",
        "text_accuracy.*",
        "",
        ("data", "runs", "mean test accuracy", "of the runs"),
        texts,
    ),
    Section(
        "Accuracy on tables",
        "tabular_accuracy.*",
        "`tabular` with its defaults, mean of seeds 1 to 5, and scikit-learn's boosted trees and "
        "linear model on the same rows. The epoch, and the trees' settings, are chosen on "
        "validation. ROC AUC: more is better; RMSE of the log price: less is.",
        ("model", "metric", "test", "of the runs", ""),
        tables,
        naming=2,
    ),
    Section(
        "Accuracy of recommendations",
        "recommender_accuracy.*",
        "The epoch is chosen by a part of train; the test is asked once a run.",
        ("data", "network", "of the test", "mean", "runs"),
        recommended,
        naming=3,
    ),
    Section(
        "Are forecasts measured as in the M4 competition?",
        "m4_baselines",
        "What `evaluate` says of the baselines that it shows, and what the organisers published.",
        ("data", "method", "of the test", "here", "published"),
        by_m4,
        naming=3,
    ),
    Section(
        "Accuracy of forecasts",
        "m4_accuracy.*",
        "The 414 hourly series of the M4 competition, 48 hours ahead. Options, the epoch and the "
        "spread of the quantiles were chosen by the last 48 hours of the training part; the test "
        "is asked once a run.",
        ("method", "OWA", "sMAPE", "MASE", "within the 80 % interval", ""),
        forecast,
    ),
    Section(
        "Accuracy of object detection",
        "detection_accuracy",
        "`object-detection` on BCCD's official split; the epoch is chosen on validation, the test "
        "is asked once a run. Mean average precision at an overlap of 0.5, of each class too, and "
        "over 0.5 to 0.95.",
        ("weights at the beginning", "seed", "mAP@0.5", "mAP", "classes, at 0.5", "training"),
        detected,
        naming=2,
    ),
    Section(
        "Speed of training",
        "(training_speed|kmeans_k|scaling|recommender_speed|detection_speed|table_reading).*",
        "Sides are run in turn; the median of the ratios within a round. Of images a second "
        "more is better, of seconds less.",
        ("what", "ratio of", "median", "rounds"),
        speeds,
        naming=2,
    ),
    Section(
        "Do replicas learn the same?",
        "same_result",
        "How far the parameters are from those of one context after 50 steps, as a part of "
        "their norm.",
        ("optimizer", "replicas", "apart"),
        drift,
        naming=2,
    ),
    Section(
        "Do networks answer in ONNX as in mxnet?",
        "onnx_sweep",
        "Those of image-classification with random weights, batches of 1 and 5; the greatest "
        "difference, relative to the largest number of an answer. A refused one is not written.",
        ("finding", "networks", "apart"),
        swept,
    ),
    Section(
        "Do models of others answer as in mxnet?",
        "adopted",
        "`algoshelf adopt` on public models and on graphs of mxnet's own examples; the greatest "
        "difference from mxnet's Module before the softmax, relative to the largest number, and "
        "that of the export from the artifact; accuracy on MNIST's test images.",
        ("model", "weights", "apart", "export apart", "accuracy"),
        taken,
    ),
    Section(
        "Files that somebody has changed",
        "mutated-.*",
        "Opened, or adopted: each is refused or answered. More than a second of a processor, or "
        "100 MiB before it is refused, would be strange.",
        ("files", "ended", "most", "strange"),
        changed,
        naming=0,
    ),
    Section(
        "Answers without mxnet",
        "engines",
        "ONNX Runtime divided by mxnet, one after the other in each round: of the times and of "
        "memory less is better, of requests a second more.",
        (
            *("model", "`predict`", "`serve` to the first answer", "memory of a worker"),
            *("requests/s, 1 connection", "4", "32"),
        ),
        engines,
    ),
    Section(
        "Training beside other work",
        "threads-.*",
        "Images a second, by how threads are arranged, beside so many processes that only count: "
        "[decision 4](decisions/0004-threads.md).",
        ("arrangement", "alone", "beside 1", "2", "more"),
        beside,
    ),
    Section(
        "Speed of serving",
        "serving-(compare|batching)-.*",
        "Ratios; of requests more is better, of latencies less. The client shares the cores.",
        ("ratio of", "connections", "requests/s", "p50", "p99"),
        compared,
        naming=2,
    ),
    Section(
        "Right answers under load",
        "serving-(answers|chaos)-.*",
        "Every answer is compared with that of the same handlers in one process, to 1e-5. In "
        "chaos a worker is killed every 20 s, and the model swapped every 30 s.",
        ("right", "wrong", "failed", "rate"),
        answered,
        naming=0,
    ),
    Section(
        "Requests that nobody should send",
        "hostile-.*",
        "Malformed, cut off, oversized, slow; good ones in between. Memory is from a quarter "
        "of them on.",
        ("requests", "5xx or lost", "good ones, all answered", "memory"),
        attacked,
        naming=0,
    ),
    Section(
        "From the last key to the verdict",
        "typed",
        "A review is entered in a real Chromium, and its verdict shown: by the page's own clock. "
        "The review app waits 150 ms for more, since each question is paid for.",
        ("page", "reviews", "p50", "p95", "at most"),
        typed,
    ),
    Section(
        "The review app under load",
        "web_app",
        "`algoshelf web --local`: gateway, handler and endpoint on one machine with the client. "
        "Each connection asks, and corrects one verdict in ten. [docs/web.md](web.md)",
        (
            "connections",
            "seconds",
            "answers",
            "other than 200, or lost",
            "corrections kept",
            "p50",
            "p99",
        ),
        reviewed,
        naming=0,
    ),
    Section(
        "Whole files",
        "transform-.*",
        "`algoshelf transform` beside a bare loop of the same handlers: 1 is as fast. Memory "
        "at a hundredth, a tenth and all of the rows; the bytes after `kill -9` and going on.",
        ("rows", "speed / bare loop", "peak memory", "killed"),
        transformed,
        naming=0,
    ),
    Section(
        "k-means on rows that memory does not hold",
        "kmeans_memory",
        "",
        ("rows", "peak memory", "time"),
        memory,
    ),
    Section(
        "What ten times as much costs",
        "growth",
        "`algoshelf` as a process, one thread, on rows of 8 numbers drawn at random, its start and "
        "the reading included. Rows, or classes of 40,000 rows: with more of them a network "
        "computes more for each row, and nothing may cost more than so much more.",
        ("what", "rows, or classes", "of a processor", "peak memory"),
        grown,
        naming=2,
    ),
    Section(
        "The best items of a user",
        "recommender_top",
        "`recommender`: the best 10 of all items for 1,000 users with names, without what each has "
        "seen, beside a product of the same factors in numpy and its 10 highest by argpartition, "
        "of as many users at once as is the fastest, in turn; the product alone.",
        ("items", "engine", "here", "numpy", "ratio", "product"),
        best_items,
        naming=2,
    ),
    Section(
        "Vectors of texts",
        "embedding_parity",
        "`text-embedding --weights all-minilm-l6-v2`: the largest difference of the vectors of 100 "
        "texts, of which 10 are odd, from those of the same weights in PyTorch by the ids of the "
        "library tokenizers; sentences of SST-2 a second of a processor; and the search for the 5 "
        "nearest, by seconds of a processor.",
        ("engine", "difference", "texts/s", "search"),
        vectors_of_texts,
    ),
    Section(
        "20 million ratings",
        "recommender_reading",
        "A table of MovieLens-20M's shape (138,493 users, 26,744 items), drawn at random: read by "
        "`recommender`, and a training on it that is ended within its epoch.",
        ("what", "ratings", "speed", "peak of memory"),
        many_interactions,
    ),
    Section(
        "Sparse gradients",
        "recommender_sparse",
        "A step of matrix factorization with adam, gradients of its tables dense or row_sparse; on "
        "two contexts they are summed through KVStore.",
        ("users and items", "contexts", "dense", "row_sparse"),
        sparse_gradients,
        naming=2,
    ),
    Section(
        "Is drift seen, and nothing but drift?",
        "drift",
        "`algoshelf drift` at its defaults: in how many of ten draws it said drift, by the number "
        "of requests. What is unchanged is to be drift in one at the most.",
        ("what", "by", "requests: drift said"),
        drifting,
        naming=2,
    ),
    Section(
        "Tuning",
        "tuning-.*",
        "20 trials in two processes of one storage, each killed, and a third that goes on; no "
        "trial was run twice to its end. By the test nothing was chosen.",
        ("trials", "finding, by validation", "test, best", "test, defaults"),
        tuned,
        naming=0,
    ),
    Section(
        "AWS's own toolkits",
        "toolkits",
        "`make toolkits`: training, serving, two hosts, the SDK's local mode and an image of "
        "one's own, without Docker.",
        ("tests", "of the image"),
        toolkits,
        naming=0,
    ),
)

INTRODUCTION = """\
<!-- Written by benchmarks/page.py from benchmarks/results/; changes here are lost. -->
# Results

Each row is one measurement, kept in the file that its name links to, with versions, settings and
single rounds. Its name is also the command that repeats it, once `make test` has set the checkout
up:

```text
.venv/bin/python benchmarks/run.py NAME
```

Without a name it lists all. A measurement replaces the kept file of the same processor, and this
page is written anew; git tells what is different. Peers are installed in environments of their own,
in the versions that [benchmarks/peers](../benchmarks/peers) pins; data that is not bundled is given
by `--data`, `--cifar10`, `--bccd`, `--glove` and `--weights`. The machines are virtual, and small:
ratios within one run tell more than its times.

**Processor and date** stand beside each measurement; where it is kept of several processors, their
rows stand one below the other, and the older is named so. Until 2026-11-27 the files told the
family of a processor alone, and that of AMD's Zen 3 and Zen 4 is the same."""

NOT_MEASURED = """\
## Not measured

- **On a GPU: nothing.** There was none. Training on several contexts, KVStore and mixed precision
  are tested on the processor; their speed on GPUs is not known.
- **In an AWS account: nothing.** Jobs and endpoints were played by moto, and by AWS's toolkits on
  this machine. `benchmark --instances` has used no instance, so there is no table of dollars to a
  target.
- **Over a network: nothing.** Hosts were processes or namespaces of one machine.
- Other processors than those above, more than two cores, and other systems than Linux."""


if __name__ == "__main__":
    main()
