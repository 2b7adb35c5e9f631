"""Captured requests in S3: the newest objects below a prefix, up to a size."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from ...core.runtime.errors import DataError
from ..aws.account import Account, explained
from ..aws.data import SCHEME, check_uri

# The newest that are looked at; of them examples are drawn.
MAX_BYTES = 2**29
MAX_OBJECTS = 10_000


def fetched(account: Account, uri: str, folder: Path, say: Callable[[str], None]) -> Path:
    """The objects below ``uri`` in ``folder``, as they lie there; of a single object, its file.

    Raises DataError where there is nothing, AwsError.
    """
    bucket, _, prefix = uri[len(SCHEME) :].partition("/")
    check_uri(account, uri)
    client = account.client("s3")
    with explained():
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = [
            (each["LastModified"], each["Key"], int(each["Size"]))
            for page in pages
            for each in page.get("Contents", ())
            if each["Size"]
        ]
    kept: list[str] = []
    total = 0
    for _, key, size in sorted(found, reverse=True):
        if kept and (total + size > MAX_BYTES or len(kept) == MAX_OBJECTS):
            break
        total += size
        kept.append(key)
    if len(kept) < len(found):
        say(
            f"{uri}: the newest {len(kept):,} of {len(found):,} objects are read, {total:,} bytes; "
            "a longer prefix, such as one of a day, says which"
        )
    base = prefix.rpartition("/")[0] + "/" if "/" in prefix else ""
    if all(key.startswith(f"{prefix}/") for key in kept):  # a folder, without its slash
        base = f"{prefix}/"
    root = folder.resolve()
    for key in kept:
        target = (folder / key[len(base) :]).resolve()
        if root not in target.parents:
            raise DataError(f"{SCHEME}{bucket}/{key}: is no name that a file can have")
        target.parent.mkdir(parents=True, exist_ok=True)
        with explained():
            client.download_file(bucket, key, str(target))
    return folder / prefix.rpartition("/")[2] if kept == [prefix] else folder


def put(account: Account, uri: str, files: dict[str, bytes]) -> str:
    """Put ``files``, by name, below ``uri``, which is returned. Raises AwsError."""
    bucket, _, prefix = uri[len(SCHEME) :].rstrip("/").partition("/")
    folder = f"{prefix}/" if prefix else ""
    for name, content in files.items():
        with explained():
            account.client("s3").put_object(Bucket=bucket, Key=f"{folder}{name}", Body=content)
    return f"{SCHEME}{bucket}/{folder}".rstrip("/")
