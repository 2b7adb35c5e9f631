"""The widget by which the page of ``serve`` asks a model: one of the page's, or a plugin's own."""

from __future__ import annotations

import pkgutil
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Algorithm

TEXT, DIGIT, PICTURE, ROWS, BODY = "text", "digit", "picture", "rows", "body"
SERIES = "series"
WIDGETS = (TEXT, DIGIT, PICTURE, ROWS, SERIES, BODY)
ENDING = ".js"
MAX_BYTES = 2**20


def is_own(widget: str) -> bool:
    """Whether it is a file of a plugin's package, by its path in the folder of the class."""
    return widget.endswith(ENDING)


def source(cls: type[Algorithm[Any]]) -> bytes:
    """The JavaScript module that is the own widget of ``cls``.

    Raises ValueError with the reason where there is none that can be served.
    """
    path = PurePosixPath(cls.widget)
    if path.is_absolute() or ".." in path.parts or "\\" in cls.widget:
        raise ValueError("expected a path inside of the package, without ..")
    # A class that inherits the widget inherits the file, which lies beside the class that named it.
    owner = next(each for each in cls.__mro__ if "widget" in vars(each))
    try:
        content = pkgutil.get_data(owner.__module__, str(path))
    except OSError:
        content = None
    if content is None:
        raise ValueError(f"{owner.__module__} has no such file beside it")
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has {len(content):,} bytes, more than {MAX_BYTES:,}")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    return content


def fault(cls: type[Algorithm[Any]]) -> str:
    """What is wrong with the widget that ``cls`` declares, or an empty string."""
    widget = cls.widget
    if not widget or widget in WIDGETS:
        return ""
    if not is_own(widget):
        return (
            f"the widget {widget[:80]!r} is none of the page's: expected one of "
            f"{', '.join(WIDGETS)}, or the path of a {ENDING} file in the package"
        )
    try:
        source(cls)
    except ValueError as error:
        return f"the widget {widget[:80]!r} cannot be served: {error}"
    return ""
