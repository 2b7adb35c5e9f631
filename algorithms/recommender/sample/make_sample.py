"""Make the bundled sample, which is synthetic: python make_sample.py.

No ratings of real people could be found that may be passed on and are this small. Users and items
have two hidden tastes each, of which the genre of an item and the age of a user tell a part; how
often an item is chosen falls as it does in shops, and who chose it, chose it more often where it
suits.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
USERS, ITEMS, CHOSEN = 240, 120, 6000
GENRES = ("crime", "comedy", "history", "science")
AGES = ("under 30", "30 to 49", "50 and over")
SEED = 17
TEST = 0.15
FIRST_DAY = 1_700_000_000


def main() -> None:
    rng = np.random.default_rng(SEED)
    genres, ages = rng.integers(len(GENRES), size=ITEMS), rng.integers(len(AGES), size=USERS)
    of_genre, of_age = rng.normal(size=(len(GENRES), 2)), rng.normal(size=(len(AGES), 2))
    items = 0.7 * of_genre[genres] + 0.7 * rng.normal(size=(ITEMS, 2))
    users = 0.7 * of_age[ages] + 0.7 * rng.normal(size=(USERS, 2))
    quality, mildness = rng.normal(0, 0.4, ITEMS), rng.normal(0, 0.4, USERS)
    suits = users @ items.T / 1.4
    drawn = suits + quality - 0.6 * np.log(1 + rng.permutation(ITEMS))
    drawn = drawn + np.log(rng.gamma(1.5, size=(USERS, 1))) + rng.gumbel(size=(USERS, ITEMS))
    chosen = np.sort(np.argsort(-drawn, axis=None)[:CHOSEN])
    user, item = np.unravel_index(rng.permutation(chosen), (USERS, ITEMS))
    exact = 3.4 + 0.8 * suits[user, item] + quality[item] + mildness[user]
    rating = np.clip(np.rint(exact + rng.normal(0, 0.6, CHOSEN)), 1, 5).astype(int)
    time = np.sort(FIRST_DAY + rng.integers(0, 300 * 86_400, CHOSEN))
    is_test = rng.random(CHOSEN) < TEST
    rows = [
        (f"user-{u + 1:03}", f"synthetic-{i + 1:03}", r, t)
        for u, i, r, t in zip(user.tolist(), item.tolist(), rating.tolist(), time.tolist())
    ]
    header = ("user", "item", "rating", "timestamp")
    for name, part in (("train", ~is_test), ("test", is_test)):
        _write(name, header, [row for row, kept in zip(rows, part) if kept])
    _write("users", ("user", "age"), [(f"user-{u + 1:03}", AGES[a]) for u, a in enumerate(ages)])
    _write(
        "items",
        ("item", "genre"),
        [(f"synthetic-{i + 1:03}", GENRES[g]) for i, g in enumerate(genres)],
    )


def _write(name: str, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with (HERE / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
