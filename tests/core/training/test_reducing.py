"""Sums over devices; those over hosts are exercised by tests/algorithms/kmeans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from algoshelf.algorithms.mnist_cnn import MnistCnn
from algoshelf.core import Run, mx
from algoshelf.core.runtime.devices import choose_kvstore, parse_devices


@pytest.mark.parametrize("devices", ["cpu", "cpu:2", "cpu:4"])
def test_the_sum_of_all_devices_is_exact_in_float64(tmp_path: Path, devices: str) -> None:
    contexts = parse_devices(devices)
    run = Run(
        MnistCnn(), MnistCnn.Hyperparameters.parse({}), {}, 1, contexts, tmp_path,
        kvstore=choose_kvstore(contexts, "auto")[0],
    )  # fmt: skip
    for _ in range(2):
        for shape in ((3,), (2, 5)):
            parts = [
                mx.nd.full(shape, 2.0**40 + i + 0.25, context, "float64")
                for i, context in enumerate(contexts)
            ]
            expected = sum(2.0**40 + i + 0.25 for i in range(len(contexts)))
            total = run.sum("some", parts)
            assert total.dtype == np.float64
            np.testing.assert_array_equal(total, np.full(shape, expected))
