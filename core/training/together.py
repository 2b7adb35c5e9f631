"""Agree between hosts with different data on one encoding, and evaluate together.

Class 3 or word 17 has to be the same on every host, examples and parameters of one shape, and a
figure that of all examples. What cannot be agreed on is refused before the first step, by name.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from ..data.dataset import Dataset, Subset, lengths_of
from ..runtime import mx
from ..runtime.errors import DataError
from ..runtime.types import Array, Context, HybridBlock
from .cluster import Cluster

SHOWN = 5  # names, where hosts differ

Encoding = Mapping[str, Any]


class ExampleElsewhereError(DataError):
    """An example is asked for that another host holds."""


def gathered_encodings(cluster: Cluster, encoding: Encoding) -> list[Encoding]:
    """The encodings of all hosts; only this host's where all are alike."""
    if cluster.count == 1:
        return [encoding]
    text = json.dumps(encoding, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if cluster.agrees(digest, "the digest of the encoding"):
        return [encoding]
    found: list[Encoding] = cluster.exchange(encoding, "the encodings")
    return found


def united(encodings: Sequence[Encoding], hosts: Sequence[str]) -> dict[str, Any]:
    """One encoding for data that is encoded by each of ``encodings``, those of ``hosts``.

    Names are united: classes in the order that all encodings keep them in, alphabetical or by
    number, others in turn from each. Raises DataError, with each difference, where something else
    than names differs.
    """
    keys = list(dict.fromkeys(key for encoding in encodings for key in encoding))
    whole: dict[str, Any] = {}
    faults = []
    for key in keys:
        values: list[Any] = [encoding.get(key) for encoding in encodings]
        if all(value == values[0] for value in values):
            whole[key] = values[0]
        elif all(map(_are_names, values)):
            whole[key] = _all_names(values)
        else:
            faults.append(_difference(key, values, hosts))
    if faults:
        raise DataError(
            *(
                f"{fault}. It cannot be merged: give every host the same data, or set it by a "
                "hyperparameter"
                for fault in faults
            )
        )
    return whole


def differences(encodings: Sequence[Encoding], hosts: Sequence[str]) -> list[str]:
    """A sentence for each part in which the ``encodings`` of ``hosts`` differ."""
    keys = dict.fromkeys(key for encoding in encodings for key in encoding)
    values = {key: [encoding.get(key) for encoding in encodings] for key in keys}
    return [
        _difference(key, each, hosts)
        for key, each in values.items()
        if any(value != each[0] for value in each)
    ]


def _difference(key: str, values: Sequence[Any], hosts: Sequence[str]) -> str:
    if not all(map(_are_names, values)):
        shown = (json.dumps(value, ensure_ascii=False)[:100] for value in values)
    elif len({frozenset(value) for value in values}) == 1:
        return f"{key}: the hosts have the same ones in a different order"
    else:
        common = set(values[0]).intersection(*values)
        shown = (
            f"{len(value):,}, not everywhere: {_listed([n for n in value if n not in common])}"
            for value in values
        )
    has = "; ".join(f"{text} on {host}" for host, text in zip(hosts, shown))
    return f"{key}: the hosts' data differ: {has}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "none") + more


def _are_names(value: Any) -> bool:
    strings = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return strings and len(set(value)) == len(value)


def _all_names(lists: Sequence[Sequence[str]]) -> list[str]:
    every = {name for names in lists for name in names}
    orders: list[Callable[[str], Any]] = [str]
    if all(name.isdecimal() for name in every):
        orders.append(int)
    for order in orders:
        if all(list(names) == sorted(names, key=order) for names in lists):
            return sorted(every, key=order)
    in_turn = (name for row in zip_longest(*lists) for name in row if name is not None)
    return list(dict.fromkeys(in_turn))


def examples_of_all(cluster: Cluster, data: Dataset, digest: str) -> int:
    """How many examples like ``data`` all hosts have, where those that all hold count once.

    ``digest`` is that of the channel.
    """
    counts = cluster.exchange(len(data), "the numbers of examples")
    return int(counts[0] if cluster.agrees(digest, "the training data") else sum(counts))


def check_examples(cluster: Cluster, data: Dataset) -> None:
    """Raise DataError, with who has what, where the hosts' examples are not of one kind."""
    x, y = data.take(np.zeros(1, np.int64))
    inside = 1 if lengths_of(data) is None else 2  # the length of a text is its own
    for what, array, first in (("an example", x, inside), ("a label", y, 1)):
        kind = f"{'x'.join(map(str, array.shape[first:])) or 'one'} {array.dtype}"
        cluster.check_alike(f"the shape of {what}", kind)


def labels_of_all(cluster: Cluster, data: Dataset) -> Array:
    """The labels (N, …) of ``data``; where they are classes and there are several hosts, each class
    that any of them has, (C,).
    """
    labels = data.labels()
    if cluster.count == 1 or labels.ndim != 1 or not data.encoding.get("classes"):
        return labels
    return np.concatenate(cluster.gather_arrays(np.unique(labels), "the classes"))


def take_from_chief(
    cluster: Cluster, parameters: Sequence[Any], devices: Sequence[Context], what: str
) -> None:
    """Give ``parameters`` on ``devices`` the values of the chief's first device, bit for bit."""
    if cluster.count == 1 or not parameters:
        return
    described = [f"{each.name} {each.shape} {np.dtype(each.dtype).name}" for each in parameters]
    everyone = cluster.exchange(described, "the shapes of the parameters")
    for rows in zip_longest(*everyone, fillvalue="nothing"):
        if len(set(rows)) > 1:
            raise DataError(f"the hosts' networks differ: {cluster.by_host(rows)}")
    stream = io.BytesIO()
    for parameter in parameters:
        np.save(stream, parameter.data(devices[0]).asnumpy(), allow_pickle=False)
    body = stream.getvalue()
    if cluster.agrees(hashlib.sha256(body).hexdigest(), f"the digest of {what}"):
        return
    stream = io.BytesIO(cluster.from_chief(body, what))
    for parameter in parameters:
        value = np.load(stream, allow_pickle=False)
        for device in devices:
            mx.nd.array(value, dtype=value.dtype).copyto(parameter.data(device))


@dataclass(frozen=True)
class Joined:
    """The examples of all hosts: the chief's own, which come first, and the others' labels."""

    own: Dataset
    every_label: Array

    @property
    def encoding(self) -> Encoding:
        return self.own.encoding

    def __len__(self) -> int:
        return len(self.every_label)

    def take(self, indices: Array) -> tuple[Array, Array]:
        if (indices >= len(self.own)).any():
            raise ExampleElsewhereError("the examples are on several hosts")
        return self.own.take(indices)

    def labels(self) -> Array:
        return self.every_label

    def digest(self) -> str:
        return hashlib.sha256(self.own.digest().encode() + self.every_label.tobytes()).hexdigest()


class Together:
    """The examples of a channel as all hosts evaluate them: each computes a part.

    ``digest`` is that of ``data``. Where all hosts hold the same, ``mine`` is a share of it; where
    each brings its own, ``whole`` is what the chief scores: all of them.
    """

    def __init__(self, cluster: Cluster, data: Dataset, digest: str) -> None:
        self.cluster, self.own = cluster, data
        self.mine = self.whole = data
        if cluster.count == 1:
            return
        if cluster.agrees([digest, len(data)], "the data to evaluate"):
            parts = np.array_split(np.arange(len(data)), cluster.count)
            self.mine = Subset(data, parts[cluster.rank])
            return
        labels = cluster.gather_arrays(data.labels(), "the labels to evaluate", to_chief=True)
        if cluster.is_chief:
            self.whole = Joined(data, _of_one_length(labels))

    def gathered(self, mine: Array) -> Array | None:
        """Of the outputs for ``mine``, those for ``whole``, (N, …), on the chief; else None."""
        if self.cluster.count == 1:
            return mine
        found = self.cluster.gather_arrays(mine, "the outputs to evaluate", to_chief=True)
        return np.concatenate([each for each in found if len(each)]) if found else None


def _of_one_length(labels: Sequence[Array]) -> Array:
    """The labels of all hosts. Where examples have several, as pictures have boxes, and one host's
    have more than another's, the rows that are lacking are of -1, as in the data of each.
    """
    if labels[0].ndim < 3:
        return np.concatenate(labels)
    longest = max(each.shape[1] for each in labels)
    wide = [(0, 0)] * (labels[0].ndim - 2)
    return np.concatenate(
        [
            np.pad(each, [(0, 0), (0, longest - each.shape[1]), *wide], constant_values=-1)
            for each in labels
        ]
    )


def statistics(network: HybridBlock) -> list[Any]:
    """The parameters that no gradient moves, such as batch normalization's running means."""
    parameters = network.collect_params().values()
    return [each for each in parameters if not getattr(each, "_differentiable", True)]
