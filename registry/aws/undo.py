"""What a command has created so far, and its removal where the command fails."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Callable

from .account import Account, AwsError

Report = Callable[[str], None]


@dataclass(frozen=True)
class _Thing:
    what: str
    remove: Callable[[], None]
    by_hand: str
    holds: bool


class Undo:
    """A context: on any error within, Ctrl-C and SIGTERM too, all that was made is removed again.

    What cannot be removed is named, with the command that removes it: in the error's own text, or
    through ``report`` where the error is an interruption.
    """

    def __init__(self, account: Account, report: Report) -> None:
        self.account = account
        self.report = report
        self._things: list[_Thing] = []

    def making(
        self, what: str, remove: Callable[[], None], by_hand: str, *, holds: bool = False
    ) -> None:
        """Say so before the request is sent: its answer may be lost.

        ``remove`` does nothing where there is nothing. With ``holds``, what was made before is
        kept as long as this cannot be removed.
        """
        if not self.account.dry:
            by_hand += f" --region {self.account.region}"
            self._things.append(_Thing(what, remove, by_hand, holds))

    def __enter__(self) -> Undo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or not self._things:
            return
        self.report("removing what was created (Ctrl-C leaves it)")
        left = self._removed()
        if not left:
            return
        text = "left behind:\n" + "\n".join(
            f"  {thing.what}; remove it by `{thing.by_hand}`" for thing in left
        )
        if isinstance(error, Exception):
            raise AwsError(f"{error}\n{text}", getattr(error, "aws_code", "")) from error
        with suppress(OSError):
            self.report(text)

    def _removed(self) -> list[_Thing]:
        """Remove everything, the newest first; what is left."""
        left: list[_Thing] = []
        things = self._things[::-1]
        for position, thing in enumerate(things):
            try:
                thing.remove()
            except Exception as error:
                self.report(f"{thing.what}: {error}")
                left.append(thing)
                if thing.holds:
                    return left + things[position + 1 :]
            except BaseException:  # Ctrl-C again: leave it
                return left + things[position:]
        return left
