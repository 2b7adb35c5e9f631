"""kmeans answers as SageMaker's built-in does, and its artifact is a graph for any mxnet."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from algoshelf.algorithms.kmeans import KMeans
from algoshelf.core import UnfitPayloadError, codecs, recordio_protobuf

from .conftest import IRIS_SSD, centroids


def answers(body: bytes, content_type: str) -> list[tuple[float, float]]:
    names = ("closest_cluster", "distance_to_cluster")
    if content_type == codecs.CSV:
        return [tuple(map(float, line.split(","))) for line in body.decode().splitlines()]  # type: ignore[misc]
    if content_type == codecs.JSON:
        records = json.loads(body)["predictions"]
    else:
        records = [json.loads(line) for line in body.splitlines()]
    assert all(tuple(record) == names for record in records)
    return [tuple(record.values()) for record in records]


def test_answers_are_those_of_sagemakers_built_in(iris_model: Path, iris: np.ndarray) -> None:
    algorithm = KMeans()
    loaded = algorithm.model_fn(iris_model)
    found = centroids(iris_model)
    apart = np.sqrt(np.square(iris[:, None].astype(np.float64) - found).sum(axis=2))
    sent = {
        codecs.CSV: codecs.encode_csv(iris),
        codecs.JSON: json.dumps({"instances": [{"features": row.tolist()} for row in iris]}),
        codecs.JSONLINES: "\n".join(json.dumps({"features": row.tolist()}) for row in iris),
        codecs.NPY: codecs.encode_npy(iris),
        codecs.RECORDIO_PROTOBUF: recordio_protobuf.encode_rows(iris),
    }
    assert set(sent) == set(algorithm.accepted_media_types())
    for content_type, body in sent.items():
        raw = body.encode() if isinstance(body, str) else body
        prediction = algorithm.predict_fn(algorithm.input_fn(raw, content_type), loaded)
        np.testing.assert_array_equal(prediction.clusters, apart.argmin(axis=1))
        np.testing.assert_allclose(prediction.distances, apart.min(axis=1), rtol=1e-4)
    for content_type in (codecs.CSV, codecs.JSON, codecs.JSONLINES):
        shown = answers(algorithm.output_fn(prediction, content_type), content_type)
        assert [cluster for cluster, _ in shown] == prediction.clusters.tolist()
        np.testing.assert_allclose([d for _, d in shown], prediction.distances, rtol=1e-6)
    first = algorithm.output_fn(prediction[:1], codecs.CSV).decode()
    assert first.startswith(f"{prediction.clusters[0]}.0,0.1")
    packed = algorithm.output_fn(prediction, codecs.RECORDIO_PROTOBUF)
    assert b"closest_cluster" in packed
    assert prediction.distances.tobytes() in packed


def test_the_distance_of_a_row_on_its_centroid_is_nothing(iris_model: Path) -> None:
    found = centroids(iris_model)
    algorithm = KMeans()
    loaded = algorithm.model_fn(iris_model)
    prediction = algorithm.predict_fn(found, loaded)
    np.testing.assert_array_equal(prediction.clusters, range(3))
    assert prediction.distances.max() < 1e-5
    alone = [algorithm.predict_fn(found[i : i + 1], loaded).clusters[0] for i in range(3)]
    assert alone == [0, 1, 2]
    with pytest.raises(UnfitPayloadError, match="expected rows of 4 numbers, got rows of 3"):
        algorithm.predict_fn(found[:, :3], loaded)


def test_plain_mxnet_serves_the_artifact(
    iris_model: Path, iris: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", iris)
    code = (
        "import numpy as np; np.bool = np.bool_\n"
        "import mxnet as mx\n"
        f"net = mx.gluon.SymbolBlock.imports(r'{iris_model}/model-symbol.json', ['data'], "
        f"r'{iris_model}/model-0000.params')\n"
        f"d = net(mx.nd.array(np.load(r'{tmp_path}/x.npy'))).asnumpy()\n"
        "print(d.shape, (d.min(axis=1).astype('f8') ** 2).sum())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    shape, ssd = done.stdout.rsplit(" ", 1)
    assert shape == "(150, 3)"
    assert float(ssd) == pytest.approx(IRIS_SSD, rel=1e-5)
