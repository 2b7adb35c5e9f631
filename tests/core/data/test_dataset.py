from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import pytest
from algoshelf.core import ArrayDataset, DataError, PluginError
from algoshelf.core.data.dataset import Subset, hold_out, lengths_of, prefetched, shuffled_batches
from hypothesis import given
from hypothesis import strategies as st


def dataset(labels: list[int]) -> ArrayDataset:
    y = np.array(labels, np.int32)
    names = tuple(f"class {label}" for label in range(max(labels) + 1))
    return ArrayDataset(np.arange(len(y), dtype=np.float32)[:, None], y, names)


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=200).map(lambda y: y + y),
    st.floats(0.01, 0.99),
    st.integers(0, 9),
)
def test_hold_out_divides_every_class(labels: list[int], fraction: float, seed: int) -> None:
    data = dataset(labels)
    kept, held = hold_out(data, fraction, np.random.default_rng(seed))
    together = np.concatenate([part.take(np.arange(len(part)))[0][:, 0] for part in (kept, held)])
    assert sorted(together) == list(range(len(data)))
    for label in set(labels):
        of, out = labels.count(label), int((held.labels() == label).sum())
        assert 1 <= out <= of - 1
        assert abs(out - fraction * of) <= 1
    again = hold_out(data, fraction, np.random.default_rng(seed))[1]
    assert isinstance(again, Subset)
    assert isinstance(held, Subset)
    np.testing.assert_array_equal(again.indices, held.indices)


def test_hold_out_names_the_class_that_is_too_small() -> None:
    with pytest.raises(DataError, match="class 'class 1' has only one example"):
        hold_out(dataset([0, 0, 1]), 0.1, np.random.default_rng(0))


@given(st.integers(0, 100), st.integers(1, 30), st.integers(0, 9))
def test_an_epoch_takes_full_batches_of_different_examples(
    size: int, batch_size: int, seed: int
) -> None:
    batches = shuffled_batches(size, batch_size, np.random.default_rng(seed))
    assert len(batches) == size // batch_size
    assert all(len(batch) == batch_size for batch in batches)
    taken = np.concatenate(batches) if batches else np.zeros(0)
    assert len(set(taken)) == len(taken)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=200), st.integers(1, 30), st.integers(0, 9)
)
def test_with_lengths_a_batch_holds_neighbours_in_length(
    lengths: list[int], batch_size: int, seed: int
) -> None:
    drawn = [
        shuffled_batches(len(lengths), batch_size, np.random.default_rng(seed), np.array(lengths))
        for _ in range(2)
    ]
    batches = drawn[0]
    assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in drawn[1]]
    assert len(batches) == len(lengths) // batch_size
    assert len({index for batch in batches for index in batch}) == len(batches) * batch_size
    spans = sorted((min(of), max(of)) for of in (np.array(lengths)[batch] for batch in batches))
    assert all(one[1] <= other[0] for one, other in zip(spans, spans[1:]))


@dataclass(frozen=True)
class Ragged(ArrayDataset):
    def lengths(self) -> np.ndarray:
        return self.x[:, 0]


def test_lengths_are_those_of_the_part_held() -> None:
    data = Ragged(np.arange(5, 15)[:, None], np.arange(10) % 2)
    kept, held = hold_out(data, 0.2, np.random.default_rng(0))
    for part in (kept, held):
        np.testing.assert_array_equal(lengths_of(part), part.take(np.arange(len(part)))[0][:, 0])
    assert lengths_of(dataset([0, 1])) is None


def test_digests_tell_data_apart() -> None:
    one, same, other = dataset([0, 1, 1]), dataset([0, 1, 1]), dataset([0, 1, 0])
    assert one.digest() == same.digest()
    assert one.digest() != other.digest()
    assert ArrayDataset(one.x[::-1], one.y).digest() != one.digest()
    assert ArrayDataset(one.x.T, one.y).digest() != one.digest()


def test_prefetched_keeps_the_order() -> None:
    assert list(prefetched(lambda n: n * n, range(100))) == [n * n for n in range(100)]


def test_prefetched_works_ahead() -> None:
    made = threading.Event()

    def produce(n: int) -> int:
        if n == 2:
            made.set()
        return n

    stream = prefetched(produce, range(10))
    assert next(stream) == 0
    assert made.wait(10)
    stream.close()


def test_prefetched_of_one_key_needs_no_thread() -> None:
    """Each thread leaves memory behind, and a server that answers texts asks for one key a time."""
    assert list(prefetched(lambda _: threading.current_thread(), [0])) == [
        threading.current_thread()
    ]


def test_prefetched_raises_what_the_producer_raised_in_its_place() -> None:
    def produce(n: int) -> int:
        if n == 3:
            raise DataError("picture.png: damaged")
        return n

    stream = prefetched(produce, range(10))
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match=r"picture\.png"):
        next(stream)
    assert not [t for t in threading.enumerate() if t.name == "algoshelf-prefetch"]


def test_prefetched_ends_its_thread_when_the_consumer_leaves() -> None:
    stream = prefetched(lambda n: n, range(1_000_000))
    next(stream)
    stream.close()
    assert not [t for t in threading.enumerate() if t.name == "algoshelf-prefetch"]


@given(
    st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=60).filter(lambda g: len(set(g)) > 1),
    st.floats(0.01, 0.99),
    st.integers(0, 9),
)
def test_hold_out_divides_no_group(names: list[str], fraction: float, seed: int) -> None:
    count = len(names)
    data = ArrayDataset(np.arange(count), np.arange(count) % 2, ("a", "b"), group=np.array(names))
    kept, held = hold_out(data, fraction, np.random.default_rng(seed))
    assert sorted([*kept.take(np.arange(len(kept)))[0], *held.take(np.arange(len(held)))[0]]) == [
        *range(count)
    ]
    groups = [{names[int(i)] for i in part.take(np.arange(len(part)))[0]} for part in (kept, held)]
    assert all(groups)
    assert groups[0].isdisjoint(groups[1])


@given(
    st.lists(st.integers(0, 30), min_size=2, max_size=60).filter(lambda t: len(set(t)) > 1),
    st.floats(0.01, 0.99),
)
def test_hold_out_takes_the_latest(times: list[int], fraction: float) -> None:
    data = ArrayDataset(np.arange(len(times)), np.zeros(len(times)), time=np.array(times))
    part = Subset(data, np.arange(len(times))[::-1])  # as of `--examples`: whose part is held out
    kept, held = hold_out(part, fraction, np.random.default_rng(0))
    earlier, later = (
        [times[int(i)] for i in each.take(np.arange(len(each)))[0]] for each in (kept, held)
    )
    assert earlier
    assert later
    assert max(earlier) < min(later)
    most = max(times.count(each) for each in times)
    assert abs(len(later) - fraction * len(times)) <= most


def test_what_cannot_be_held_out_is_said() -> None:
    x, y, one = np.zeros((4, 1)), np.zeros(4), np.zeros(4)
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="all examples are of one group"):
        hold_out(ArrayDataset(x, y, group=one), 0.1, rng)
    with pytest.raises(DataError, match="all examples are of one time"):
        hold_out(ArrayDataset(x, y, time=one), 0.1, rng)
    with pytest.raises(PluginError, match=r"groups\(\) and times\(\): expected one"):
        hold_out(ArrayDataset(x, y, group=one, time=one), 0.1, rng)
