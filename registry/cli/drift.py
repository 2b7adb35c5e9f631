"""``drift MODEL``: whether requests, answers and figures have changed since a baseline."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import click

from ...core.data.files import absent, exists
from ...core.data.reading import using
from ...core.drift.changes import ALPHA
from ...core.runtime.errors import InputError
from ..discovery import opened
from .flags import (
    PATH,
    Parsed,
    SectionedCommand,
    account_options,
    bucket_option,
    engine_option,
    resolved,
    whole,
)
from .output import console, json_option, print_json, print_table, say
from .reading import reading_options, taken

if TYPE_CHECKING:
    from ...core.drift.comparing import Report
    from ..aws.account import Account

DRIFTED = 3  # the exit code
SCHEME = "s3://"
PLACE = Parsed("path", lambda text: text or _refuse(), "a path or s3://BUCKET/PREFIX")


def _refuse() -> str:
    raise ValueError


def _parse_alpha(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise ValueError
    return value


@click.command(cls=SectionedCommand)
@click.argument("model", type=PATH)
@click.option(
    "--baseline", type=PLACE, required=True, metavar="PATH|S3",
    help="What requests are to be like: data as training reads them, such as its test examples, or "
    "captured requests.",
)  # fmt: skip
@click.option(
    "--current", type=PLACE, required=True, metavar="PATH|S3",
    help="What comes in now: requests captured by `algoshelf serve --capture` or by SageMaker's "
    "data capture, or data as training reads them.",
)  # fmt: skip
@click.option(
    "--labels", type=PLACE, metavar="PATH|S3",
    help="Labels of today, by which the model is measured: labelled examples as training reads "
    "them, or a label for the id of each request, as a CSV with the headings id,label or as "
    "SageMaker's Model Monitor takes them.",
)  # fmt: skip
@click.option(
    "--alpha", type=Parsed("probability", _parse_alpha, "a probability between 0 and 1"),
    default=ALPHA, show_default=True,
    help="The probability of a false alarm, of all tests together.",
)  # fmt: skip
@click.option(
    "--page", "report_page", type=PATH, metavar="FILE.html",
    help="Also write the report as a page of HTML.",
)  # fmt: skip
@click.option(
    "--manifest", type=PATH, metavar="FILE",
    help="Also write the requests of which labels would tell the most, as the input manifest of a "
    "labelling job of SageMaker Ground Truth: those of whose answer the model is least sure, and "
    "those that are least like the baseline.",
)  # fmt: skip
@click.option(
    "--corrections", type=PLACE, metavar="PATH|S3",
    help="With --manifest: corrections that people gave in the review app. Their texts come first, "
    "each with what should have been answered.",
)  # fmt: skip
@click.option(
    "--most", type=whole(1, 100_000), default=100, show_default=True,
    help="With --manifest: the largest number of requests in it.",
)  # fmt: skip
@click.option(
    "--pictures", metavar="S3",
    type=Parsed("address", lambda text: text if text.startswith(SCHEME) else _refuse(),
                "s3://BUCKET/PREFIX"),
    help="With --manifest, of a model of pictures: where in S3 the pictures are put.",
)  # fmt: skip
@engine_option
@reading_options
@bucket_option
@account_options
@json_option
def drift(
    model: Path,
    baseline: str,
    current: str,
    labels: str | None,
    alpha: float,
    report_page: Path | None,
    manifest: Path | None,
    corrections: str | None,
    most: int,
    pictures: str | None,
    engine: str,
    region: str | None,
    profile: str | None,
    bucket_owner: str,
    as_json: bool,
    **given: str | None,
) -> None:
    """Say whether what MODEL is asked and answers has changed since a baseline, or it is noise.

    Exits with 0 where there is no drift, and with 3 where there is, so that a schedule can act on
    it. Without labels, a change of what is true of unchanged requests cannot be seen.

    Example: algoshelf drift models/mine --baseline test.tsv --current captured/ --page drift.html
    """
    given_alone = [
        name for name, value in (("--pictures", pictures), ("--corrections", corrections)) if value
    ]
    if given_alone and manifest is None:
        raise InputError(f"{' and '.join(given_alone)}: works only with --manifest: give it, too")
    artifact, algorithm = opened(model)
    decided = taken(given)
    from ...core.drift import comparing
    from ...core.inference.handlers import Handlers

    reached = _Reached(region, profile, bucket_owner)
    with ExitStack() as until_the_end:
        folder = Path(until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="algoshelf-")))
        until_the_end.enter_context(using(decided, say, artifact.metadata.headings))
        here = [reached.here(each, folder) for each in (baseline, current)]
        labelled = None if labels is None else reached.here(labels, folder)
        gone = [
            f"{absent(path)} ({name})"
            for name, path in zip(("--baseline", "--current", "--labels"), (*here, labelled))
            if path is not None and not exists(path)
        ]
        if gone:
            raise InputError(*gone)
        handlers = Handlers.load(algorithm, model, engine=resolved(engine, model))
        report = comparing.compare(handlers, here[0], here[1], labelled, alpha)
        report.baseline.path, report.current.path = Path(baseline), Path(current)
        if manifest is not None:
            corrected = None if corrections is None else reached.here(corrections, folder)
            _write_manifest(report, manifest, corrected, most, reached.uploader(pictures))
    if report_page is not None:
        from ..drift.page import page
        from ..files import write_text

        write_text(report_page, page(report, str(model)))
        say(f"the page is {report_page}")
    if as_json:
        print_json({"model": str(model), "algorithm": algorithm.name, **report.to_dict()})
    else:
        _print(report)
    if report.drifted:
        sys.exit(DRIFTED)


def _print(report: Report) -> None:
    from ..drift import page

    out = console()
    out.print(page.sentence(report))
    out.print(page.sizes(report) + "\n")
    rows = page.rows(report)
    print_table(out, page.HEADINGS, rows[: page.SHOWN])
    if len(rows) > page.SHOWN:
        out.print(f"{len(rows) - page.SHOWN:,} more tests found less; --json gives all.")
    for told in page.details(report):
        out.print(told)
    for note in report.notes:
        say(f"note: {note}")


def _write_manifest(
    report: Report,
    path: Path,
    corrections: Path | None,
    most: int,
    upload: Callable[[dict[str, bytes]], str] | None,
) -> None:
    from ...core.drift.comparing import least_sure
    from ..drift import manifest

    questions = report.current.questions
    asked = [] if corrections is None else manifest.corrected(corrections)
    asked += [questions[i] for i in least_sure(report)]
    count = manifest.write(path, asked, most, upload)
    say(f"{path}: {count:,} requests to be labelled")


class _Reached:
    """What lies in S3, reached when it is needed first."""

    def __init__(self, region: str | None, profile: str | None, bucket_owner: str) -> None:
        self._given = {"region": region, "profile": profile, "bucket_owner": bucket_owner}
        self._account: Account | None = None
        self._count = 0

    @property
    def account(self) -> Account:
        from ..aws.account import Account

        if self._account is None:
            given: dict[str, Any] = self._given
            self._account = Account(**given)
        return self._account

    def here(self, place: str, folder: Path) -> Path:
        """A local path of it: what lies in S3 is fetched into ``folder``."""
        if not place.startswith(SCHEME):
            return Path(place)
        from ..drift import fetching

        self._count += 1
        return fetching.fetched(self.account, place, folder / str(self._count), say)

    def uploader(self, place: str | None) -> Callable[[dict[str, bytes]], str] | None:
        if place is None:
            return None
        from ..drift import fetching

        return lambda files: fetching.put(self.account, place, files)
