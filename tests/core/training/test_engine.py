"""Mixed precision: half precision where it is fast, and no step of infinities.

Run on the processor, where mxnet multiplies matrices in bfloat16 but not in float16.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.core import PluginError, TrainingHyperparameters, mx
from algoshelf.core.training.engine import Engine

from tests.conftest import InProcess

SETTINGS = {"optimizer": "sgd", "learning_rate": 0.1}


def network() -> Any:
    mx.random.seed(3)
    nn = mx.gluon.nn
    with mx.name.NameManager():
        net = nn.HybridSequential()
        net.add(nn.Conv2D(8, 3), nn.BatchNorm(), nn.Activation("relu"), nn.Flatten(), nn.Dense(3))
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    net(mx.nd.zeros((1, 2, 6, 6))).wait_to_read()
    return net


def engine(net: Any, precision: str, loss: Any = None) -> Engine:
    options = TrainingHyperparameters(precision=precision, **SETTINGS)
    return Engine(net, loss or mx.gluon.loss.SoftmaxCrossEntropyLoss(), options, [mx.cpu()])


def examples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(48) % 3
    x = rng.normal(size=(48, 2, 6, 6)) + y[:, None, None, None]
    return x.astype(np.float32), y.astype(np.int32)


def learned(precision: str) -> tuple[list[float], np.ndarray]:
    net = network()
    trained = engine(net, precision)
    losses = []
    for _ in range(20):
        x, y = examples()
        (loss,) = trained.step(trained.split(x), trained.split(y), 0.1)
        losses.append(float(loss.asnumpy().mean()))
    return losses, parameters(net)


def parameters(net: Any) -> np.ndarray:
    arrays = [parameter.list_data()[0] for parameter in net.collect_params().values()]
    assert {array.dtype for array in arrays} == {np.float32}
    return np.concatenate([array.asnumpy().ravel() for array in arrays])


def test_it_learns_what_float32_learns_up_to_rounding() -> None:
    (exact, expected), (rounded, found) = learned("float32"), learned("mixed")
    assert rounded != exact  # it was computed in bfloat16
    assert exact[-1] < 0.1 * exact[0]
    assert rounded == pytest.approx(exact, rel=0.05, abs=0.05)
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 0.2


def test_a_step_whose_gradients_overflow_is_left_out_and_the_scale_is_halved() -> None:
    net = network()
    trained = engine(net, "mixed", mx.gluon.loss.L2Loss())
    assert trained.scale is not None
    x, _ = examples()
    far = np.full((48, 3), 1e35, np.float32)  # a gradient of 1e35, times 65,536, is infinite
    before = parameters(net)
    weights = [p.data().copy() for p in net.collect_params().values() if p.grad_req != "null"]
    trained.step(trained.split(x), trained.split(far), 1e-37)
    for parameter, weight in zip(
        (p for p in net.collect_params().values() if p.grad_req != "null"), weights
    ):
        assert (parameter.data().asnumpy() == weight.asnumpy()).all()
    assert trained.scale.value == 2.0**15
    for _ in range(20):
        trained.step(trained.split(x.copy()), trained.split(far.copy()), 1e-37)
    assert 1 < trained.scale.value < 2.0**15
    assert np.isfinite(parameters(net)).all()
    assert not np.array_equal(parameters(net), before)


def test_the_scale_is_kept_in_a_checkpoint() -> None:
    first = engine(network(), "mixed")
    assert first.scale is not None
    x, y = examples()
    first.step(first.split(x), first.split(y), 0.1)
    first.scale.value = 512.0
    state = first.state()
    second = engine(network(), "mixed")
    assert second.scale is not None
    second.restore(state, 1)
    assert (second.scale.value, second.scale.steps) == (512.0, 1)


def test_on_a_processor_it_is_refused(in_process: InProcess, tmp_path: Path) -> None:
    result = in_process("train", "mnist-cnn", "--precision", "mixed")
    assert result.code == 2
    assert "--precision mixed: needs a GPU" in result.stderr
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam", "beta2": 0.99},
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "sgd", "momentum": 0.0},
    ],
)
def test_updates_are_those_of_gluons_trainer_to_the_bit(settings: dict[str, Any]) -> None:
    options = TrainingHyperparameters(weight_decay=0.01, **settings)
    ours, theirs = network(), network()
    for net in (ours, theirs):
        for parameter in net.collect_params(".*bias").values():
            parameter.wd_mult, parameter.lr_mult = 0.0, 4.0
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    trained = Engine(ours, loss, options, [mx.cpu()])
    given = {"wd": 0.01, **{k: v for k, v in settings.items() if k != "optimizer"}}
    trainer = mx.gluon.Trainer(
        theirs.collect_params(), settings["optimizer"], {"learning_rate": 1, **given}, kvstore=None
    )
    x, y = map(mx.nd.array, examples())
    for step in range(5):
        rate = 0.1 / (1 + step)
        trained.step([x], [y], rate)
        trainer.set_learning_rate(rate)
        with mx.autograd.record():
            found = loss(theirs(x), y)
        found.backward()
        trainer.update(len(x))
    np.testing.assert_array_equal(parameters(ours), parameters(theirs))


def test_nesterovs_momentum_is_that_of_its_formula_and_every_run_is_alike() -> None:
    options = TrainingHyperparameters(optimizer="nesterov", momentum=0.85, weight_decay=0.01)
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    x, y = map(mx.nd.array, examples())
    ends = []
    for _ in range(4):
        net = network()
        trained = Engine(net, loss, options, [mx.cpu()])
        for _ in range(3):
            trained.step([x], [y], 0.1)
        ends.append(parameters(net))
        np.testing.assert_array_equal(ends[-1], ends[0])
    net = network()
    learned = [p for p in net.collect_params().values() if p.grad_req != "null"]
    velocity = [0.0 * p.data().asnumpy() for p in learned]
    for _ in range(3):
        with mx.autograd.record():
            found = loss(net(x), y)
        found.backward()
        for place, parameter in enumerate(learned):
            seen, gradient = parameter.data().asnumpy(), parameter.grad().asnumpy() / len(x)
            origin = seen - 0.85 * velocity[place]
            velocity[place] = 0.85 * velocity[place] - 0.1 * (gradient + 0.01 * origin)
            parameter.set_data(mx.nd.array(origin + 1.85 * velocity[place]))
    np.testing.assert_allclose(parameters(net), ends[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("devices", [1, 2])
def test_lookahead_draws_the_weights_to_their_average(devices: int) -> None:
    """By the formula of the paper; what stays as it is stays so to the bit."""
    net = network()
    contexts = [mx.cpu(place) for place in range(devices)]
    net.collect_params().reset_ctx(contexts)
    net[0].bias.grad_req = "null"
    options = TrainingHyperparameters(lookahead=5, **SETTINGS)
    store = None if devices == 1 else mx.kv.create("device")
    trained = Engine(net, mx.gluon.loss.SoftmaxCrossEntropyLoss(), options, contexts, store)
    average, constant = parameters(net), net[0].bias.data(contexts[0]).asnumpy()
    x, y = map(mx.nd.array, examples())
    for done in (0.25, 0.5, 1.0):
        trained.step(trained.split(x), trained.split(y), 0.1)
        share = 1 - 0.95**5 * done**3
        average = average + share * (parameters(net) - average)
        trained.look_ahead(done)
        np.testing.assert_allclose(parameters(net), average, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(net[0].bias.data(contexts[0]).asnumpy(), constant)
        for replica in net[4].weight.list_data():
            np.testing.assert_array_equal(replica.asnumpy(), net[4].weight.list_data()[0].asnumpy())


def test_a_parameter_that_no_gradient_reaches_is_named() -> None:
    class Idle(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.used = mx.gluon.nn.Dense(3, in_units=72)
            self.idle = self.params.get("idle", shape=(2, 2))

        def hybrid_forward(self, ops: Any, x: Any, idle: Any) -> Any:
            return self.used(ops.flatten(x))

    net = Idle()
    net.initialize()
    trained = engine(net, "float32")
    x, y = examples()
    with pytest.raises(PluginError, match=r"no gradient reaches \w+idle: .* leave it out"):
        trained.step(trained.split(x), trained.split(y), 0.1)
