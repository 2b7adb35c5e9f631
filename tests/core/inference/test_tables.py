"""Mixed tables from training to answers: requests, predict's intake, transform and evaluate."""

from __future__ import annotations

import csv
import io
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest
from algoshelf.core import (
    Algorithm,
    Classifier,
    ContentType,
    Example,
    InputError,
    Model,
    TrainingHyperparameters,
    codecs,
    mx,
    supervised_channels,
    train,
)
from algoshelf.core.data.reading import using
from algoshelf.core.data.schema import Schema, TableDataset, read_table
from algoshelf.core.inference.handlers import Handlers
from algoshelf.core.inference.intake import intake
from algoshelf.core.inference.requests import Request, RequestBatcher, answer
from algoshelf.core.runtime.bounds import Bounds
from algoshelf.core.transform.job import TransformOptions
from algoshelf.core.transform.run import transform

NAMES = ("1st size", "colour", "shape", "verdict")


def rows(count: int = 80) -> list[list[Any]]:
    random.seed(5)
    found = []
    for i in range(count):
        size, colour = round(random.gauss(3, 1), 3), ("red", "blue", "green")[i % 3]
        shape = ("round", "flat")[i % 2]
        found.append([size, colour, shape, "good" if size > 3 else "bad"])
    found[4][0] = found[9][1] = ""
    return found


ROWS = rows()


@dataclass(frozen=True)
class TableModel(Model):
    schema: Schema


class Tables(Classifier[TrainingHyperparameters]):
    """Two classes of rows of a mixed table, by a network that takes gaps for the mean."""

    name = "tables"
    task = "test"
    summary = "rows of mixed tables"
    Hyperparameters = TrainingHyperparameters
    channels = supervised_channels("CSV")
    mixed_tables = True
    accepts = (
        ContentType(codecs.CSV, "rows"),
        ContentType(codecs.JSON, "rows"),
        ContentType(codecs.JSONLINES, "rows"),
    )

    def dataset(
        self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
    ) -> TableDataset:
        table = read_table(path)
        schema = Schema.from_json(encoding["schema"]) if encoding else Schema.infer(table)
        return schema.dataset(table)

    def network(self, hyperparameters: TrainingHyperparameters, data: Any) -> Any:
        class Filled(mx.gluon.HybridBlock):  # type: ignore[misc, unused-ignore]
            def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803
                return F.where(x == x, x, F.zeros_like(x))

        net = mx.gluon.nn.HybridSequential()
        net.add(Filled(), mx.gluon.nn.Dense(8, activation="tanh"), mx.gluon.nn.Dense(2))
        return net

    def example(self, data: Any) -> Example:
        body = json.dumps({"instances": [{data.encoding["schema"]["columns"][0]["name"]: None}]})
        return Example(content_type=codecs.JSON, body=body)

    def model_fn(self, model_dir: Any, device: Any = None) -> Model:
        model = super().model_fn(model_dir, device)
        return TableModel(**vars(model), schema=Schema.from_json(model.metadata.encoding["schema"]))

    def input_fn(self, request_body: bytes, request_content_type: str) -> Any:
        return codecs.decode_records(request_body, request_content_type)

    def predict_fn(self, input_data: Any, model: Model) -> Any:
        assert isinstance(model, TableModel)
        return super().predict_fn(model.schema.encode(input_data), model)


def as_csv(table: Sequence[Sequence[Any]], header: Sequence[str] = (), mark: str = ",") -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=mark, lineterminator="\n")
    writer.writerows([list(header)] * bool(header) + list(map(list, table)))
    return stream.getvalue()


def trained(folder: Path, content: str) -> Path:
    (folder / "train.csv").write_text(content)
    options = TrainingHyperparameters(epochs=8, batch_size=8, learning_rate=0.01)
    train(Tables(), {"train": folder / "train.csv"}, options, folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    header = [*NAMES[:3], "label"]
    return trained(tmp_path_factory.mktemp("mixed"), as_csv(ROWS, header))


@pytest.fixture(scope="module")
def handlers(model: Path) -> Handlers:
    return Handlers.load(Tables(), model)


def asked(handlers: Handlers, body: str, kind: str = codecs.CSV) -> tuple[int, Any]:
    (reply,) = answer(handlers, [Request(body.encode(), kind, codecs.JSONLINES)])
    if reply.status != 200:
        return reply.status, json.loads(reply.body)["error"]["message"]
    return 200, [json.loads(line) for line in reply.body.decode().splitlines()]


@pytest.fixture(scope="module")
def expected(handlers: Handlers) -> Any:
    status, found = asked(handlers, as_csv([row[:3] for row in ROWS]))
    assert status == 200
    return found


def test_the_model_is_good_at_all(expected: Any) -> None:
    assert sum(a["label"] == row[3] for a, row in zip(expected, ROWS)) > 60


def objects(table: Sequence[Sequence[Any]], names: Sequence[str] = NAMES) -> list[dict[str, Any]]:
    return [{n: None if c == "" else c for n, c in zip(names, row)} for row in table]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (as_csv(ROWS, NAMES), codecs.CSV),
        (as_csv([row[::-1] for row in ROWS], NAMES[::-1]), codecs.CSV),
        (as_csv([row[:3] for row in ROWS], ["1ST SIZE", " colour", "Shape"]), codecs.CSV),
        (as_csv([[i, *row] for i, row in enumerate(ROWS)], ["nr", *NAMES]), codecs.CSV),
        (as_csv(ROWS), codecs.CSV),
        (as_csv([row[:3] for row in ROWS]).replace("\n", "\r\n"), codecs.CSV),
        (json.dumps({"instances": objects(ROWS)}), codecs.JSON),
        (json.dumps([row[:3] for row in ROWS]), codecs.JSON),
        (json.dumps([{"features": row[:3]} for row in ROWS]), codecs.JSON),
        ("".join(json.dumps(o) + "\n" for o in objects(ROWS)), codecs.JSONLINES),
        (
            "".join(
                json.dumps({k: v for k, v in o.items() if v is not None}) + "\n"
                for o in objects(ROWS)
            ),
            codecs.JSONLINES,
        ),
    ],
)
def test_every_form_of_a_request_is_answered_alike(
    body: str, kind: str, handlers: Handlers, expected: Any
) -> None:
    assert asked(handlers, body, kind) == (200, expected)


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        ("abc,red,round\n", codecs.CSV, 422, "example 1, column '1st size': 'abc' is not a number"),
        ("1st size,colour,shape\n1,red,flat\nabc,red,flat\n", codecs.CSV, 422,
         "example 2, column '1st size': 'abc'"),
        ("1e999,red,round\n", codecs.CSV, 422, "'1e999' is not a finite float32"),
        ("1,red\n", codecs.CSV, 422, "example 1 has 2 cells, expected 3: 1st size, colour, shape"),
        ("1st size,shape\n1,flat\n", codecs.CSV, 422, "colour missing"),
        ("1st size,colour,shape\n", codecs.CSV, 422, "a line of headings, and no row"),
        ("1st size,colour,shape,shape\n1,red,flat,flat\n", codecs.CSV, 422, "shape"),
        ("1st size,colour,shape,x\n1,red,flat\n", codecs.CSV, 400, "line 2 has 3 columns"),
        ('"1,red\n', codecs.CSV, 400, "line 1"),
        ("", codecs.CSV, 400, "the body is empty"),
        ('[{"colour": 1, "1st sise": 2}]', codecs.JSON, 422, "no column '1st sise' (did you mean"),
        ('[{"1st size": "abc"}]', codecs.JSON, 422, "column '1st size': 'abc' is not a number"),
        ('[{"1st size": NaN}]', codecs.JSON, 422, "NaN is not a finite number"),
        ('[{"1st size": {}}]', codecs.JSON, 422, "got an object"),
        ("[1, 2]", codecs.JSON, 422, "expected an object by column, or a list of 3 cells"),
        ("[[]]", codecs.JSON, 422, "example 1 has 0 cells"),
        ("[", codecs.JSON, 400, "line 1"),
        ("{}\n", codecs.JSONLINES, 422, "example 1 names no column"),
    ],
)  # fmt: skip
def test_every_fault_is_the_clients_and_told_with_its_column(
    body: str, kind: str, status: int, said: str, handlers: Handlers
) -> None:
    found, message = asked(handlers, body, kind)
    assert (found, said in message) == (status, True), message


def test_a_request_is_bounded_before_it_is_encoded(handlers: Handlers) -> None:
    bounds = Bounds(2**62, 200_000, 2.0**62, 2.0**62, 2**62)
    body = as_csv([row[:3] for row in ROWS] * 40).encode()
    steps = RequestBatcher(handlers, bounds).steps([Request(body, codecs.CSV, codecs.JSON)])
    (reply,) = [reply for step in steps for _, reply in step]
    assert reply.status == 413


# A model of words alone, whose rows look like headings


@pytest.fixture(scope="module")
def of_words(tmp_path_factory: pytest.TempPathFactory) -> Handlers:
    header = ["colour", "shape", "label"]
    folder = trained(tmp_path_factory.mktemp("words"), as_csv([row[1:] for row in ROWS], header))
    return Handlers.load(Tables(), folder)


def test_a_row_of_words_is_no_line_of_headings(of_words: Handlers) -> None:
    status, answers = asked(of_words, "red,flat\n")
    assert status == 200
    assert len(answers) == 1
    assert asked(of_words, "shape,colour\nflat,red\n") == (200, answers)


def test_a_file_of_words_alone_has_headings_where_they_are_known(
    of_words: Handlers, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    for content, count in (("red,flat\nblue,round\n", 2), ("shape,colour\nflat,red\n", 1)):
        path.write_text(content)
        with using(TransformOptions().reading, print, of_words.model.metadata.headings):
            read = intake(Tables(), path)
            body = read.body(2**20).decode()
        assert len(body.splitlines()) == count
        assert body.splitlines()[0] == "red,flat"


# Files


def written(path: Path) -> Path:
    kind = path.suffix
    names, table = NAMES, ROWS
    if kind == ".parquet":
        columns = {
            name: [row[i] if row[i] != "" else None for row in table]
            for i, name in enumerate(names)
        }
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    elif kind == ".xlsx":
        book = openpyxl.Workbook()
        for row in [list(names), *table]:
            book.active.append([None if cell == "" else cell for cell in row])
        book.save(path)
    else:
        mark = {".csv": ",", ".tsv": "\t", ".dat": ";"}[kind]
        path.write_text(as_csv([row[::-1] for row in table], names[::-1], mark))
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.dat", "a.parquet", "a.xlsx"])
def test_a_file_of_any_form_is_transformed_and_predicted(
    name: str, model: Path, handlers: Handlers, expected: Any, tmp_path: Path
) -> None:
    path = written(tmp_path / name)
    options = TransformOptions(accept=codecs.JSONLINES)
    summary = transform(Tables(), model, str(path), tmp_path / "out", options)
    assert (summary.rows, summary.errors) == (len(ROWS), 0)
    lines = (tmp_path / "out" / f"{name}.out").read_text().splitlines()
    assert [json.loads(line) for line in lines if line] == expected
    with using(TransformOptions().reading, print, handlers.model.metadata.headings):
        read = intake(Tables(), path)
        body = read.body(2**20).decode()
    assert asked(handlers, body) == (200, expected)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.xlsx"])
def test_a_file_of_any_form_is_evaluated(name: str, model: Path, tmp_path: Path) -> None:
    path = written(tmp_path / name)
    loaded = Handlers.load(Tables(), model)
    with using(TransformOptions().reading, print, loaded.model.metadata.headings):
        with pytest.raises(InputError, match="label missing"):
            loaded.algorithm.evaluate(loaded.model, path)
        renamed = tmp_path / "b.csv"
        renamed.write_text(as_csv(ROWS, [*NAMES[:3], "label"]))
        found = loaded.algorithm.evaluate(loaded.model, renamed)
    assert found.metrics["accuracy"] > 0.7


def test_a_bad_row_of_a_file_is_told_with_its_line(model: Path, tmp_path: Path) -> None:
    lines = as_csv(ROWS, NAMES).splitlines()
    lines[30] = "abc," + lines[30].split(",", 1)[1]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"line 31: .*column '1st size': 'abc' is not a number"):
        transform(Tables(), model, str(tmp_path / "a.csv"), tmp_path / "out")


def test_a_table_that_is_no_text_is_not_joined_with_its_answers(
    model: Path, tmp_path: Path
) -> None:
    path = written(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="--join-source joins comma-separated columns"):
        transform(Tables(), model, str(path), tmp_path / "out", TransformOptions(join_source=True))


def test_other_algorithms_are_told_to_convert(tmp_path: Path) -> None:
    from algoshelf.algorithms.kmeans import KMeans

    algorithm: Algorithm[Any] = KMeans()
    with pytest.raises(InputError, match="is Parquet"):
        intake(algorithm, written(tmp_path / "a.parquet"))
