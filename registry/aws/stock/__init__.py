"""stock: what there is in an account, one module for what belongs together; imports aws alone.

A kind of thing is one ``Kind``, named in ``inventory.KINDS``: with that ``list`` shows it,
``delete`` ends it, and ``sweep`` ends those that are past their time or that nothing uses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Callable, Collection, Iterable, Mapping, Sequence, Tuple

from .. import tags
from ..account import Account
from ..rollback import Report

# Whoever deploys makes a model and a configuration first: such young ones are no orphans.
ORPHAN_AGE = timedelta(hours=1)

Part = Tuple[str, str]  # the title of a kind, and a name


@dataclass(frozen=True)
class Item:
    """One thing; ``price`` is USD an hour, None where it is unknown.

    ``kept`` are the bytes that are stored in it, None where it stores none of its own.
    """

    kind: str
    name: str
    status: str
    created: datetime
    runs_on: str
    price: float | None
    tags: Mapping[str, str]
    kept: int | None = None

    @property
    def is_ours(self) -> bool:
        return tags.VERSION in self.tags

    @property
    def expires(self) -> datetime | None:
        return tags.expiry(self.tags)

    @property
    def algorithm(self) -> str:
        return self.tags.get(tags.ALGORITHM, "")

    @property
    def creator(self) -> str:
        """Who has made it, as ``tags.creator``; "" where it does not say."""
        return self.tags.get(tags.CREATOR, "")


@dataclass(frozen=True)
class Wanted:
    """Which of a kind are looked for: of these ``names`` if any, none of ``spared``, and none that
    was created after ``before``; what is not algoshelf's only if ``foreign``.
    """

    foreign: bool = False
    names: Collection[str] = ()
    spared: Collection[str] = ()
    before: datetime | None = None

    def labels(
        self, name: str, created: datetime, read: Callable[[], Mapping[str, str]]
    ) -> Mapping[str, str] | None:
        """The tags of what is looked for, None of all else; ``read`` costs a request, and is
        called last.
        """
        if (self.names and name not in self.names) or name in self.spared:
            return None
        if self.before is not None and created > self.before:
            return None
        found = read()
        return found if self.foreign or tags.VERSION in found else None


def _no_parts(account: Account, name: str) -> Sequence[Part]:
    return ()


@dataclass(frozen=True)
class Kind:
    """One kind of thing, such as an endpoint, a job, or a package.

    ``title`` is what a person reads, and what ``delete --kind`` takes. ``found`` yields those that
    are wanted, each after ``Wanted.labels`` has let it pass. ``end`` ends one that is there, and
    does nothing where it is gone; None if no command ends it, as of what is somebody else's.

    ``bills`` says that it costs by the hour as long as it is there: ``list`` adds that up, and
    ``delete NAME`` and ``--all`` end it. What bills not so is listed apart, and deleted only by
    ``--kind``.

    ``uses`` names, for each other kind, those that things of this one use; given what is not to
    count, since it is about to go. ``parts`` are what was made for one and may go with it, if
    nothing else uses it. ``sweeps`` says that one which nothing uses is ended by ``sweep``, except
    those younger than ``age`` and those that still store something.

    ``personal``: only who has created it ends it, whoever else may; so is a job.
    """

    title: str
    found: Callable[[Account, Wanted], Iterable[Item]]
    end: Callable[[Account, Item, Report], None] | None
    bills: bool = True
    uses: Mapping[str, Callable[[Account, Collection[Part]], Iterable[str]]] = field(
        default_factory=dict
    )
    parts: Callable[[Account, str], Sequence[Part]] = _no_parts
    sweeps: bool = False
    age: timedelta = ORPHAN_AGE
    personal: bool = False
