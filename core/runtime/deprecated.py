"""Old names of what plugins use: they work for one release, each with a DeprecationWarning.

Modules that have moved are found by their old names (``MODULES``), and whole packages that are
called otherwise (``renamed_package``). Of a class whose metaclass is a
``Renamed``, attributes and methods are understood by their old names, whether a subclass defines
them or somebody reads them.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Mapping, TypeVar, cast

from . import lazy

F = TypeVar("F", bound=Callable[..., Any])

REMOVAL = "0.3"
CORE = __name__[: -len(".runtime.deprecated")]
# Below core: a module's old name, and the modules in which the names that it held are now.
MODULES: Mapping[str, tuple[str, ...]] = {
    "algorithm": ("algorithm.base",),
    "answers": ("inference.answers",),
    "artifact": (
        "artifact.folder",
        "artifact.metadata",
        "artifact.model",
        "artifact.target",
        "runtime.staging",
    ),
    "channels": ("algorithm.channels",),
    "codecs": (
        *("payload.content_types", "payload.decode", "payload.encode", "payload.negotiate"),
        *("data.numbers", "data.npy", "runtime.faults"),
    ),
    "conformance.declared": ("conformance.static_checks",),
    "conformance.learned": ("conformance.training_checks",),
    "conformance.served": ("conformance.serving_checks",),
    "container": ("runtime.opt_ml",),
    "data.tables": ("data.cells", "data.notices"),
    "datasets": ("data.image_datasets",),
    "declaration": ("algorithm.declaration",),
    "errors": ("runtime.errors",),
    "evaluation": ("algorithm.evaluation", "tasks.class_figures"),
    "files": ("data.files",),
    "hooks": ("algorithm.hooks",),
    "hyperparameters": ("algorithm.hyperparameters",),
    "job": ("container.job", "runtime.opt_ml"),
    "measuring": ("benchmark",),
    "measuring.child": ("benchmark.child",),
    "measuring.job": ("benchmark.job",),
    "measuring.machine": ("benchmark.machine",),
    "measuring.records": ("benchmark.records",),
    "measuring.running": ("benchmark.running",),
    "measuring.training": ("benchmark.training",),
    "mx": ("runtime.mx",),
    "payload.encoding": ("payload.content_encoding",),
    "recordio": ("data.recordio",),
    "recordio_protobuf": ("data.protobuf",),
    "rows": ("data.rows",),
    "serving.answering": ("inference.requests",),
    "serving.asking": ("transform.predictor",),
    "serving.composing": ("transform.writer",),
    "serving.intake": ("inference.intake",),
    "serving.jobs": ("transform.job",),
    "serving.journal": ("transform.journal",),
    "serving.sized": ("artifact.sized",),
    "serving.splitting": ("transform.reader",),
    "serving.toolkit": ("container.toolkit",),
    "serving.transform": ("transform.run",),
    "supervised": ("tasks.supervised", "tasks.classification"),
    "training.data": ("data.dataset",),
    "training.devices": ("runtime.devices",),
    "training.loop": ("artifact.network", "training.run"),
    "training.run": (
        *("training.options", "training.provenance", "training.trainer"),
        "runtime.durations",
    ),
    "tuning": ("algorithm.search_space",),
    "types": ("runtime.types",),
}
# Modules that are where they were, some of whose names have moved or are called otherwise: each
# calls ``keep_old_names``.
KEPT = (
    *("data.faults", "data.tables"),
    *("runtime.bounds", "runtime.graph", "runtime.params", "runtime.shapes"),
    *("training.loop", "training.run"),
)
# What these modules held and is called otherwise now; constants MOST_… are called MAX_….
SYMBOLS: Mapping[str, str] = {
    "answers.best": "preferred_type",
    "artifact.class_faults": "name_faults",
    "answers.close": "is_close",
    "answers.rows_of": "parsed_rows",
    "serving.answering.Answering": "RequestBatcher",
    "serving.asking.Answer": "PartResult",
    "serving.asking.Asker": "BatchPredictor",
    "serving.asking.Question": "PartRequest",
    "serving.composing.composed": "output_of",
    "serving.composing.report": "error_report",
    "serving.intake.TABBED": "TABLE_ENDINGS",
    "serving.splitting.parts": "read_parts",
    "supervised.outputs": "block_outputs",
    "training.loop.evaluation_batch": "batch_size",
}
# Packages that ``renamed_package`` was told of: full names, old to new.
PACKAGES: dict[str, str] = {}
OLD_CONSTANT, NEW_CONSTANT = "MOST_", "MAX_"
# Attributes and methods, old to new.
OF_ALGORITHMS: Mapping[str, str] = {
    "accepted": "accepted_media_types",
    "answered": "response_media_types",
    "answers": "response_types",
    "most_memory": "max_memory",
    "most_work": "max_work",
    "quick": "check_hyperparameters",
    "sketch": "preview",
}
OF_SUPERVISED: Mapping[str, str] = {**OF_ALGORITHMS, "begin": "load_pretrained"}
OF_HYPERPARAMETERS: Mapping[str, str] = {"searched": "search_space"}


def install() -> None:
    """Let Python find modules by what they were called before."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def renamed_package(old: str, new: str) -> None:
    """Let Python find the package ``new``, and each module in it, as ``old`` too."""
    if not PACKAGES:  # before the others, which would find its files a second time
        sys.meta_path.insert(0, _FinderOfPackages())
    PACKAGES[old] = new


def keep_old_names(module: str, old: str) -> None:
    """Let ``module``, which calls this, be asked for what the module ``old`` held.

    Unseen by type checkers, which else would believe that it has any name.
    """
    vars(sys.modules[module])["__getattr__"] = old_names(module, old)


def old_names(module: str, old: str, *, told: bool = False) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``module``: what the module ``old`` held, wherever it is now.

    Each name that is asked for is warned of, unless the user was ``told`` of the module.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - PEP 562
        if lazy.offers(module, name):
            return lazy.found(module, name)
        here = sys.modules[module]
        lacks = AttributeError(f"module {module!r} has no attribute {name!r}")
        if name.startswith("__") or (
            hasattr(here, "__path__") and not told and importlib.util.find_spec(f"{module}.{name}")
        ):
            raise lacks  # a submodule that is yet to be imported
        new = SYMBOLS.get(f"{old}.{name}", name)
        if name.startswith(OLD_CONSTANT):
            new = NEW_CONSTANT + name[len(OLD_CONSTANT) :]
        sources = (importlib.import_module(f"{CORE}.{source}") for source in MODULES.get(old, ()))
        for place in (here, *sources):
            for each in (new, name):
                if each in vars(place) or (place is not here and hasattr(place, each)):
                    if not told or each != name:
                        warn(f"{module}.{name} is {place.__name__}.{each} now", 3)
                    vars(here)[name] = getattr(place, each)  # `from … import` asks twice
                    return vars(here)[name]
        raise lacks

    return __getattr__


class _Finder(MetaPathFinder, Loader):
    """Finds modules by their old names: each is a module that passes on what is asked of it."""

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, old = fullname.partition(f"{CORE}.")
        if package or old not in MODULES:
            return None
        is_package = any(name.startswith(f"{old}.") for name in MODULES)
        return ModuleSpec(fullname, self, is_package=is_package)

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__[len(CORE) + 1 :]
        places = " and ".join(f"{CORE}.{place}" for place in MODULES[old])
        warn(f"{module.__name__} is {places} now; what plugins need of it is in {CORE}", 3)
        vars(module)["__getattr__"] = old_names(module.__name__, old, told=True)


class _FinderOfPackages(MetaPathFinder):
    """Finds the modules of renamed packages by their old names."""

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for old, new in PACKAGES.items():
            if fullname == old or fullname.startswith(f"{old}."):
                return ModuleSpec(fullname, _Same(new + fullname[len(old) :]), is_package=True)
        return None


class _Same(Loader):
    """Loads a module by an old name: it is the very module ``new``, so that its classes are."""

    def __init__(self, new: str) -> None:
        self.new = new

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        if spec.name in PACKAGES:
            warn(f"{spec.name} is {self.new} now", 3)
        found = importlib.import_module(self.new)
        self.own = found.__spec__
        return found

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.own  # import has put that of the old name in its place


class Renamed(type):
    """The metaclass of classes with attributes that had other names: ``old_attributes`` to new.

    No ``__init_subclass__``, since that of a subclass need not call it.
    """

    old_attributes: Mapping[str, str]

    def __init__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> None:
        super().__init__(name, bases, namespace)
        for old, new in cls.old_attributes.items():
            definer = next((c for c in cls.__mro__ if old in vars(c) or new in vars(c)), cls)
            if old in vars(definer) and new not in vars(definer):
                warn(f"{name}.{old}: it is called {new} now", 3)
                setattr(cls, new, vars(definer)[old])
            if new in vars(cls):
                setattr(cls, old, _OldName(cls, old, new))


class _OldName:
    """Stands in a class beside its attribute ``new``, under the old name: reads as that does.

    Beside each definition, so that ``super()`` finds by the old name what it finds by the new.
    """

    def __init__(self, cls: type, old: str, new: str) -> None:
        self._cls, self._old, self._new = cls, old, new

    def __get__(self, instance: Any, owner: type) -> Any:
        warn(f"{owner.__name__}.{self._old}: it is called {self._new} now", 3)
        value = vars(self._cls)[self._new]
        return value.__get__(instance, owner) if hasattr(value, "__get__") else value


def renamed_argument(old: str, new: str) -> Callable[[F], F]:
    """Decorates a function whose keyword argument ``new`` was called ``old``."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def called(*given: Any, **named: Any) -> Any:
            if old in named:
                warn(f"{function.__name__}({old}=…): it is called {new} now", 3)
                named[new] = named.pop(old)
            return function(*given, **named)

        return cast(F, called)

    return decorate


def warn(text: str, level: int) -> None:
    """Warn whoever is ``level`` frames up, without those of the import machinery."""
    warnings.warn(f"{text}; the old name goes with algoshelf {REMOVAL}", DeprecationWarning, level)
