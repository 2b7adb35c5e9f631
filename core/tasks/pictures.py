"""Classification of pictures: what is known of their numbers, and models from elsewhere."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Mapping

import numpy as np

from ..algorithm.channels import TEST, TRAIN
from ..artifact import adoption
from ..artifact.metadata import InputSignature
from ..runtime import graph as graphs
from ..runtime.errors import DataError, HyperparameterError, InputError
from ..runtime.types import Array, HybridBlock
from .classification import Classifier
from .supervised import H

if TYPE_CHECKING:
    from ..artifact.adoption import Adopted, Draft, Foreign, Pixels
    from ..artifact.adoption.draft import Step

NAMED = 3  # of many arrays or variables, so many are named


class PictureClassifier(Classifier[H]):
    """A classifier whose network takes pictures (N, C, H, W) of numbers from 0 to ``white``.

    It takes models from elsewhere: ``adopted_hyperparameters`` says which pictures it can, and
    ``foreign_network`` makes the networks that it has by name.
    """

    white: ClassVar[float]

    @abstractmethod
    def adopted_hyperparameters(self, foreign: Foreign) -> Mapping[str, Any]:
        """Those hyperparameters that are known of a model from elsewhere.

        Raises InputError where it takes other pictures than this algorithm reads.
        """

    def foreign_network(self, foreign: Foreign) -> tuple[HybridBlock, Pixels]:
        """The network ``foreign.network`` with the parameters of ``foreign``, and what pictures
        it was trained on where nobody says so. Raises InputError.
        """
        raise InputError(
            f"--network: {self.name} has no networks by name: give --symbol, the graph of the model"
        )

    def adopt(self, foreign: Foreign) -> Adopted:
        pixels = foreign.pixels
        if foreign.draft is None:
            if not foreign.network:
                raise InputError(
                    f"{foreign.label}: holds parameters without their network: give --symbol, the "
                    "file whose name ends in -symbol.json, or --network, the name of the network"
                )
            block, usual = self.foreign_network(foreign)
            draft, arrays = adoption.traced(block)
            pixels = pixels or usual
        else:
            draft, arrays = foreign.draft, dict(foreign.arrays)
        known = self.adopted_hyperparameters(foreign)
        try:
            options = self.Hyperparameters.parse(known)
        except HyperparameterError as error:
            raise InputError(*error.faults) from None
        sample = self.sample()
        path = sample.get(TEST) or sample[TRAIN]
        data = self.dataset(path, TEST, options)  # type: ignore[arg-type]
        picture = data.take(np.zeros(1, np.int64))[0]
        signature = InputSignature.model_validate(
            {"shape": (0, *picture.shape[1:]), "dtype": str(picture.dtype)}
        )
        pixels = pixels or adoption.Pixels()
        graph, notes = _Fitting(draft, arrays, foreign, signature).written(
            self._before(pixels, signature)
        )
        count = graph[1]
        classes = foreign.classes or tuple(map(str, range(count)))
        if len(classes) != count:
            raise InputError(
                f"--classes: names {len(classes):,} classes, and the network of "
                f"{foreign.symbol_label} has {count:,} outputs: give a file of as many lines, in "
                "the order of the outputs"
            )
        if not foreign.classes:
            notes.append(f"the classes are called 0 to {count - 1}: --classes gives their names")
        otherwise = "" if foreign.pixels else "; --mean, --std and --pixel-range say otherwise"
        notes.insert(0, f"the network is given {pixels}{otherwise}")
        return adoption.Adopted(
            graph[0],
            arrays,
            signature,
            self.example(data),
            {"classes": list(classes)},
            known,
            tuple(notes),
        )

    def _before(self, pixels: Pixels, signature: InputSignature) -> list[Step]:
        """What makes of this algorithm's pictures those that the network was trained on."""
        channels = signature.shape[1]
        faults = [
            f"--{name}: has {len(values)} numbers, and the pictures of {self.name} have {channels} "
            f"channel{'s' * (channels > 1)}: give one number for each, or one for all"
            for name, values in (("mean", pixels.mean), ("std", pixels.std))
            if len(values) not in (0, 1, channels)
        ]
        if pixels.order == adoption.BGR and channels != 3:
            faults.append(f"--channels: the pictures of {self.name} have no colours")
        if faults:
            raise InputError(*faults)
        steps: list[Step] = []
        if signature.dtype != "float32":
            steps.append(("Cast", {"dtype": "float32"}))
        if self.white > pixels.largest:
            steps.append(("_div_scalar", {"scalar": repr(self.white / pixels.largest)}))
        elif self.white < pixels.largest:
            steps.append(("_mul_scalar", {"scalar": repr(pixels.largest / self.white)}))
        if pixels.order == adoption.BGR:
            steps.append(("reverse", {"axis": "1"}))
        if pixels.mean or pixels.std:
            mean, std = (
                f"({', '.join(map(repr, values or default))},)"
                for values, default in ((pixels.mean, (0.0,)), (pixels.std, (1.0,)))
            )
            steps.append(("_image_normalize", {"mean": mean, "std": std}))
        return steps


class _Fitting:
    """A network held against its parameters and its input."""

    def __init__(
        self,
        draft: Draft,
        arrays: dict[str, Array],
        foreign: Foreign,
        signature: InputSignature,
    ) -> None:
        self.draft = draft.logits()
        self.arrays = arrays
        self.foreign = foreign
        self.signature = signature
        self.notes: list[str] = []

    def written(self, before: list[Step]) -> tuple[tuple[bytes, int], list[str]]:
        """The file of the network and how many classes it tells apart; and what is to be said."""
        if self.draft.ends_in_sigmoid():
            raise DataError(
                f"{self.foreign.symbol_label}: ends in a sigmoid for each class, of a model that "
                "gives a picture several: expected one that ends in logits or a softmax"
            )
        if len(self.draft.heads) != 1:
            raise DataError(
                f"{self.foreign.symbol_label}: gives {len(self.draft.heads)} outputs: choose one "
                "with --output-layer NAME"
            )
        variable = self._input()
        self._leave_out()
        content = self.draft.written(variable, before)
        shape = self._fitted(content)
        if len(shape) > 2 and shape[2:] == (1,) * len(shape[2:]):
            content = self.draft.written(variable, before, [("Flatten", {})])
            shape = self._fitted(content)
        if len(shape) != 2:
            raise DataError(
                f"{self.foreign.symbol_label}: gives {shape[1:]} for a picture "
                f"{self.signature.shape[1:]}: expected a number for each class; --output-layer "
                "NAME chooses another layer"
            )
        return (content, shape[1]), self.notes

    def _input(self) -> str:
        """The one variable that is no parameter."""
        free = [name for name in self.draft.variables() if name not in self.arrays]
        if len(free) > 1 and adoption.INPUT in free:
            missing = [name for name in free if name != adoption.INPUT]
            raise DataError(
                f"{self.foreign.label}: has no parameters for {len(missing)} variables of "
                f"{self.foreign.symbol_label}: {_some(missing)}: are the files of one model?"
            )
        if len(free) != 1:
            raise DataError(
                f"{self.foreign.symbol_label}: expected one input, got {len(free)}"
                + (f": {_some(free)}" if free else "")
            )
        if free[0] != adoption.INPUT and adoption.INPUT in self.arrays:
            raise DataError(
                f"{self.foreign.symbol_label}: calls a parameter {adoption.INPUT!r}, which is "
                "what the input of an artifact is called: rename it in both files"
            )
        return free[0]

    def _leave_out(self) -> None:
        needed = set(self.draft.variables())
        unused = [name for name in self.arrays if name not in needed]
        for name in unused:
            del self.arrays[name]
        if unused:
            self.notes.append(
                f"{len(unused)} arrays that the network does not use are left out: {_some(unused)}"
            )

    def _fitted(self, content: bytes) -> tuple[int, ...]:
        """The shape of the output for one picture. Raises DataError."""
        known = {name: (array.shape, str(array.dtype)) for name, array in self.arrays.items()}
        name = self.signature.name
        try:
            graph = graphs.read(content)
            fit = graph.fit({name: (self.signature.one, self.signature.dtype)}, known)
        except graphs.GraphError as error:
            raise DataError(
                *(f"{self.foreign.symbol_label}: {fault}" for fault in error.faults),
                f"a picture is {self.signature.shape[1:]} here; --input-shape says otherwise",
            ) from None
        return fit.outputs[0]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
