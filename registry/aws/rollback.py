"""Rollback: remove what a command has created if the command fails."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Callable

from . import tags
from .account import Account, AwsError

Report = Callable[[str], None]
Arn = Callable[[], str]


@dataclass
class _Part:
    what: str
    remove: Callable[[], None]
    by_hand: str
    holds: bool
    arn: Arn | None
    is_ours: bool = False  # by AWS's answer to its creation, or by its tag


class Rollback:
    """A context: on any error within, Ctrl-C and SIGTERM too, all that was made is removed again.

    Only what this run has made: somebody else's of the same name, made since it was looked
    whether the name is free, lacks the tag ``tags.RUN`` of this run, and is left alone. What cannot
    be removed is named, with the command that removes it: in the error's own text, or through
    ``report`` where the error is an interruption.
    """

    def __init__(self, account: Account, report: Report) -> None:
        self.account = account
        self.report = report
        self._parts: list[_Part] = []

    def creating(
        self,
        what: str,
        remove: Callable[[], None],
        by_hand: str,
        *,
        holds: bool = False,
        arn: Arn | None = None,
    ) -> None:
        """Say so before the request is sent: its answer may be lost.

        ``remove`` does nothing where there is nothing. With ``holds``, what was made before is
        kept as long as this cannot be removed. ``arn`` finds the ARN of what has the name now, ""
        where nothing has; without it ``remove`` itself touches only what is this run's.
        """
        if not self.account.dry:
            by_hand += f" --region {self.account.region}"
            self._parts.append(_Part(what, remove, by_hand, holds, arn))

    def created(self) -> None:
        """AWS has answered the request that ``creating`` spoke of last: the part is there."""
        if self._parts:
            self._parts[-1].is_ours = True

    def __enter__(self) -> Rollback:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or not self._parts:
            return
        self.report("removing what was created (Ctrl-C leaves it)")
        left = self._removed()
        if not left:
            return
        text = "left behind:\n" + "\n".join(f"  {self._advice(part)}" for part in left)
        if isinstance(error, Exception):
            raise AwsError(f"{error}\n{text}", getattr(error, "aws_code", "")) from error
        with suppress(OSError):
            self.report(text)

    def _removed(self) -> list[_Part]:
        """Remove everything, the newest first; what is left."""
        left: list[_Part] = []
        parts = self._parts[::-1]
        for position, part in enumerate(parts):
            try:
                if self._is_ours(part):
                    part.remove()
            except Exception as error:
                self.report(f"{part.what}: {error}")
                left.append(part)
                if part.holds:
                    return left + parts[position + 1 :]
            except BaseException:  # Ctrl-C again: leave it
                return left + parts[position:]
        return left

    def _is_ours(self, part: _Part) -> bool:
        """Whether this run made what has the name now; False where nothing has.

        Raises AwsError where that cannot be found out, and AWS has not answered the creation.
        """
        if part.arn is None:
            return True
        try:
            arn = part.arn()
            if not arn:
                return False
            labels = tags.of(self.account, arn)
        except AwsError:
            if not part.is_ours:
                raise
            return True
        part.is_ours = labels.get(tags.RUN) == self.account.run
        if not part.is_ours:
            self.report(f"{part.what}: somebody else made it, and it is left alone")
        return part.is_ours

    def _advice(self, part: _Part) -> str:
        advice = f"{part.what}; remove it by `{part.by_hand}`"
        if part.arn is None or part.is_ours:
            return advice
        return f"{advice}, but only if its tag {tags.RUN} is {self.account.run}"
