"""The distributions that deepar draws the next value from; each by parameters in units of the size
of the series, the mean of its absolute values.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, Mapping, Sequence

import numpy as np

from ...core import Array

STUDENT_T, GAUSSIAN, NEGATIVE_BINOMIAL = "student-T", "gaussian", "negative-binomial"
LEAST_SIGMA = 1e-4
LEAST_FREEDOM = 2.1  # of Student's t, whose variance is finite above 2
LARGEST = 1e15  # of a value that is drawn, in sizes of its series


class Likelihood:
    """``parameters`` is how many numbers describe the distribution of one value."""

    parameters: int

    @abstractmethod
    def positive(self, ops: Any, raw: Any, axis: int) -> Any:
        """The parameters of what a layer gives, along ``axis``."""

    @abstractmethod
    def loss(self, ops: Any, truth: Any, parameters: Sequence[Any], size: Any) -> Any:
        """The negative logarithm of the likelihood of ``truth`` (B, T), in units of the series."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, parameters: Array, size: Array) -> Array:
        """One value (S,) for each of ``parameters`` (P, S), in units of the series."""


class Gaussian(Likelihood):
    parameters = 2

    def positive(self, ops: Any, raw: Any, axis: int) -> Any:
        mean = ops.slice_axis(raw, axis=axis, begin=0, end=1)
        sigma = softplus(ops, ops.slice_axis(raw, axis=axis, begin=1, end=2)) + LEAST_SIGMA
        return ops.concat(mean, sigma, dim=axis)

    def loss(self, ops: Any, truth: Any, parameters: Sequence[Any], size: Any) -> Any:
        mean, sigma = parameters
        z = (truth / size - mean) / sigma
        return ops.log(sigma) + ops.square(z) / 2 + math.log(2 * math.pi) / 2

    def draw(self, rng: np.random.Generator, parameters: Array, size: Array) -> Array:
        mean, sigma = parameters
        found: Array = size * (mean + sigma * rng.standard_normal(len(mean)))
        return found


class StudentT(Likelihood):
    parameters = 3

    def positive(self, ops: Any, raw: Any, axis: int) -> Any:
        mean, sigma, freedom = (
            ops.slice_axis(raw, axis=axis, begin=k, end=k + 1) for k in range(3)
        )
        sigma = softplus(ops, sigma) + LEAST_SIGMA
        return ops.concat(mean, sigma, softplus(ops, freedom) + LEAST_FREEDOM, dim=axis)

    def loss(self, ops: Any, truth: Any, parameters: Sequence[Any], size: Any) -> Any:
        mean, sigma, freedom = parameters
        z = (truth / size - mean) / sigma
        whole = ops.gammaln(freedom / 2) - ops.gammaln((freedom + 1) / 2)
        whole = whole + ops.log(freedom * math.pi) / 2 + ops.log(sigma)
        return whole + (freedom + 1) / 2 * ops.log(1 + ops.square(z) / freedom)

    def draw(self, rng: np.random.Generator, parameters: Array, size: Array) -> Array:
        mean, sigma, freedom = parameters
        found: Array = size * (mean + sigma * rng.standard_t(freedom.astype(np.float64)))
        return np.clip(found, -LARGEST * size, LARGEST * size)


class NegativeBinomial(Likelihood):
    """Of counts: mean m and shape a, so that the variance is m + a m²."""

    parameters = 2

    def positive(self, ops: Any, raw: Any, axis: int) -> Any:
        return softplus(ops, raw) + LEAST_SIGMA

    def loss(self, ops: Any, truth: Any, parameters: Sequence[Any], size: Any) -> Any:
        mean, shape = parameters
        mean, number = mean * size, ops.sqrt(size) / shape
        whole = ops.gammaln(truth + 1) + ops.gammaln(number) - ops.gammaln(truth + number)
        whole = whole - number * (ops.log(number) - ops.log(number + mean))
        return whole - truth * (ops.log(mean) - ops.log(number + mean))

    def draw(self, rng: np.random.Generator, parameters: Array, size: Array) -> Array:
        mean, shape = parameters.astype(np.float64)
        number = np.sqrt(size) / shape
        rate = rng.gamma(number, mean * size / number)
        found: Array = rng.poisson(np.minimum(rate, 1e12)).astype(np.float64)
        return found


def softplus(ops: Any, x: Any) -> Any:
    return ops.Activation(x, act_type="softrelu")


LIKELIHOODS: Mapping[str, Likelihood] = {
    STUDENT_T: StudentT(),
    GAUSSIAN: Gaussian(),
    NEGATIVE_BINOMIAL: NegativeBinomial(),
}
