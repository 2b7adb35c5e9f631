"""Every error that algoshelf raises on purpose.

AlgoshelfError                    something failed                          exit 1
├── MissingDependencyError        a package that this work needs is absent
├── PluginError                   a plugin is broken, or two claim one name
├── TrainingError                 training could not go on
├── NetworkError                  a network does not compute with the input that it is given
├── ExportError                   a network has no form in ONNX, or another answer there
├── Stopped                       a signal ended the training      exit 128 + its number
└── InputError                    what was given is wrong                   exit 2
    ├── UnknownNameError          no algorithm, option or value of that name
    ├── HyperparameterError       one or more hyperparameters are wrong
    ├── DataError                 a file of a channel is missing or malformed
    ├── ArtifactError             a model folder is missing or malformed
    ├── OutputError               the output cannot be written
    └── PayloadError              a request cannot be answered
        ├── MalformedPayloadError     the body does not parse
        ├── UnfitPayloadError         it parses, but shape, dtype or range is wrong
        ├── PayloadTooLargeError      it has more bytes than are allowed
        ├── UnsupportedContentTypeError
        └── NotAcceptableError        no offered content type satisfies Accept

``code`` is stable: programs may rely on it. An ``InputError`` reports all faults of one
input at once, each saying what is wrong, where, and what was expected.
"""

from __future__ import annotations

import difflib
from typing import ClassVar, Iterable


class AlgoshelfError(Exception):
    """The root: ``except AlgoshelfError`` catches whatever algoshelf raises on purpose."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1


class MissingDependencyError(AlgoshelfError):
    code = "missing_dependency"


class PluginError(AlgoshelfError):
    code = "broken_plugin"


class TrainingError(AlgoshelfError):
    code = "training_failed"


class NetworkError(AlgoshelfError):
    code = "network_failed"


class ExportError(AlgoshelfError):
    code = "not_exported"


class Stopped(AlgoshelfError):  # noqa: N818 - it is no fault
    """A signal ended the training, after a checkpoint."""

    code = "stopped"

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number  # type: ignore[misc]


class InputError(AlgoshelfError):
    """What was given is wrong; ``faults`` holds one sentence for each thing to mend."""

    code = "wrong_input"
    exit_code = 2

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class UnknownNameError(InputError):
    code = "unknown_name"


class HyperparameterError(InputError):
    code = "wrong_hyperparameters"


class DataError(InputError):
    code = "wrong_data"


class ArtifactError(InputError):
    code = "wrong_artifact"


class OutputError(InputError):
    code = "unwritable_output"


class PayloadError(InputError):
    code = "wrong_payload"


class MalformedPayloadError(PayloadError):
    code = "malformed_payload"


class UnfitPayloadError(PayloadError):
    code = "unfit_payload"


class PayloadTooLargeError(PayloadError):
    code = "too_large"


class UnsupportedContentTypeError(PayloadError):
    code = "unsupported_content_type"


class NotAcceptableError(PayloadError):
    code = "not_acceptable"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, or an empty string where nothing known is close."""
    if len(word) > 100:
        return ""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
