"""What a recommender is asked, and what it answers."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence

from .. import payload
from ..runtime.errors import UnfitPayloadError
from ..runtime.faults import MAX_FAULTS

MOST = 1000  # items in one answer
USUAL = 10
LONGEST_ID = 1000
FORMS = 'expected {"user": …, "item": …}, {"user": …, "top": 10} or {"item": …, "similar": 10}'


class Question(NamedTuple):
    """The score of ``item`` for ``user``; or the ``most`` best items of ``user``; or the ``most``
    items most like ``item``. What is not asked about is None.
    """

    user: str | None
    item: str | None
    most: int = 0


def questions(body: bytes, content_type: str) -> list[Question]:
    """What is asked in a body of JSON, JSON Lines or CSV. Raises PayloadError, with all faults."""
    media = payload.media_type(content_type)
    records = payload.decode_records(_listed(body) if media == payload.JSON else body, media)
    found, faults = [], []
    for number, record in enumerate(records, 1):
        try:
            found.append(_question(record, media == payload.CSV))
        except ValueError as error:
            faults.append(f"example {number}: {error}")
    if faults:
        more = len(faults) - MAX_FAULTS
        raise UnfitPayloadError(*faults[:MAX_FAULTS], *([f"and {more:,} more"] * (more > 0)))
    return found


def _listed(body: bytes) -> bytes:
    """One question that stands alone in JSON, as a list of it."""
    inner = body.strip(b"\xef\xbb\xbf \t\r\n")
    alone = inner.startswith(b"{") and inner.endswith(b"}") and b'"instances"' not in inner
    return b"[%b]" % inner if alone else body


def _question(record: Any, from_csv: bool) -> Question:
    if isinstance(record, list):
        if len(record) == 2:
            return Question(_id("user", record[0]), _id("item", record[1]))
        if len(record) == 1 and from_csv:
            return Question(_id("user", record[0]), None, USUAL)
        raise ValueError(f"expected a user and an item, got {len(record)} values")
    if not isinstance(record, dict):
        raise ValueError(f"{FORMS}, got {str(record)[:40]!r}")
    unknown = sorted(record.keys() - {"user", "item", "top", "similar"})
    if unknown:
        raise ValueError(f"{FORMS}; there is {', '.join(map(repr, unknown))[:100]}")
    asked = frozenset(record)
    if asked == {"user", "item"}:
        return Question(_id("user", record["user"]), _id("item", record["item"]))
    if asked in ({"user", "top"}, {"user"}):
        return Question(_id("user", record["user"]), None, _count(record, "top"))
    if asked in ({"item", "similar"}, {"item"}):
        return Question(None, _id("item", record["item"]), _count(record, "similar"))
    raise ValueError(f"{FORMS}, got {', '.join(map(repr, record)) or 'an empty object'}")


def _id(kind: str, value: Any) -> str:
    """A user or an item by its name, which may be a whole number."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"{kind}: expected a string or a whole number, got {str(value)[:40]!r}")
    text = str(value).strip() if isinstance(value, str) else str(value)
    if not 0 < len(text) <= LONGEST_ID:
        raise ValueError(f"{kind}: expected 1 to {LONGEST_ID} characters, got {len(text)}")
    return text


def _count(record: Mapping[str, Any], name: str) -> int:
    value = record.get(name, USUAL)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
        raise ValueError(
            f"{name}: expected a whole number from 1 to {MOST}, got {str(value)[:40]!r}"
        )
    return value


class Answer(NamedTuple):
    """``score`` for a pair, else ``items`` with their scores, the best first.

    ``unknown`` names what of the question the training did not have: "user" or "item".
    """

    score: float | None
    items: Sequence[tuple[str, float]]
    unknown: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.score is None:
            found["items"] = [{"item": item, "score": score} for item, score in self.items]
        else:
            found["score"] = self.score
        found["known"] = not self.unknown
        if self.unknown:
            found["unknown"] = list(self.unknown)
        return found

    def to_cells(self) -> list[Any]:
        listed = [cell for pair in self.items for cell in pair]
        known = "false" if self.unknown else "true"
        return [*(listed if self.score is None else [self.score]), known]
