"""The values of a command's flags, read from text: every fault is collected, and told at once."""

from __future__ import annotations

import math
import re
from typing import Any, Callable, Mapping

from ...core.runtime.durations import parse_duration
from ...core.runtime.errors import InputError
from .flags import flag


class Values:
    """The flags that were ``given``, by name; what is wrong with them goes to ``faults``."""

    def __init__(self, given: Mapping[str, str], faults: list[str]) -> None:
        self.given = given
        self.faults = faults

    def attempt(self, work: Callable[[], Any]) -> Any:
        """What ``work`` gives; None where that raises InputError, which is noted once."""
        try:
            return work()
        except InputError as error:
            self.faults += [fault for fault in error.faults if fault not in self.faults]
            return None

    def read(self, name: str, parse: Callable[[str], Any], default: Any = None) -> Any:
        """What ``parse`` makes of the flag; ``default`` where it was not given, or is refused."""
        if name not in self.given:
            return default
        try:
            return parse(self.given[name])
        except ValueError as error:
            self.faults.append(f"{flag(name)}: {error}")
            return default

    def whole(self, name: str, default: int, most: int, least: int = 1) -> int:
        """A whole number."""
        return int(self.read(name, lambda text: _whole(text, most, least), default))

    def wholes(self, name: str, default: str, most: int) -> list[int]:
        """Several with commas between, each once, as they were given."""
        words = [word.strip() for word in self.given.get(name, default).split(",")]
        found = [Values({name: word}, self.faults).whole(name, 1, most) for word in words]
        return list(dict.fromkeys(found))

    def number(self, name: str, default: float, most: float, expected: str) -> float:
        """A number above 0, without exponent or sign."""

        def parse(text: str) -> float:
            if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text, re.ASCII) and 0 < float(text) <= most:
                return float(text)
            raise ValueError(f"expected {expected}, got {text!r}")

        return float(self.read(name, parse, default))

    def duration(self, name: str, most: float, limit: str) -> float | None:
        """Seconds, 1 and more; None where it was not given. ``limit`` says ``most`` in words."""

        def parse(text: str) -> float:
            try:
                seconds = parse_duration(text)
            except ValueError:
                seconds = math.nan
            if 1 <= seconds <= most:
                return seconds
            raise ValueError(f"expected a time such as 90m or 8h, at most {limit}, got {text!r}")

        found = self.read(name, parse)
        return None if found is None else float(found)


def _whole(text: str, most: int, least: int) -> int:
    if re.fullmatch(r"[0-9]{1,9}", text) and least <= int(text) <= most:
        return int(text)
    raise ValueError(f"expected a whole number from {least} to {most}, got {text!r}")
