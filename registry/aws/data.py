"""Upload local data to S3, once, under the digest of its bytes.

``s3://BUCKET/algoshelf/KIND/DIGEST/…`` holds a file, or a folder's files with their paths.
"""

from __future__ import annotations

import hashlib
import re
from itertools import islice
from pathlib import Path
from typing import Any, Iterator, Mapping
from urllib.parse import quote
from weakref import WeakSet

from ...core.data.files import RandomAccess
from ...core.data.walking import walk
from ...core.runtime.errors import DataError, InputError
from .account import Account, AwsError, explained

PREFIX = "algoshelf"
SCHEME = "s3://"
REFUSED = ("403", "AccessDenied")
MAX_SIZED = 100_000  # objects: a hundred requests
_WITH_BUCKET: WeakSet[Account] = WeakSet()


def is_uri(source: str | Path) -> bool:
    """Whether ``source`` lies in S3, and not here."""
    return str(source).startswith(SCHEME)


def check_output(uri: str) -> None:
    """Raises InputError where ``uri`` is none of S3."""
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/.*[^/])?", uri):
        raise InputError(f"--output: expected s3://BUCKET or s3://BUCKET/PREFIX, got {uri!r}")


def root(account: Account) -> str:
    """Under which URI things lie unless they are told where: in the account's own bucket."""
    return f"{SCHEME}{account.bucket}/{PREFIX}"


def upload(account: Account, path: Path, kind: str, place: str = "") -> str:
    """The URI of the bytes of ``path``, a file or a folder, which are uploaded if not yet there.

    They lie under the URI ``place``, or without it under ``root``. A folder's URI ends in a slash.
    What ``walk`` leaves out stays at home. Raises AwsError and DataError.
    """
    files = walk(path).files
    if not files:
        raise DataError(f"{path}: holds no files")
    bucket, *folders = (place or root(account))[len(SCHEME) :].split("/", 1)
    if bucket == account.bucket:
        ensured_bucket(account)
    prefix = "/".join([*folders, kind, _digest(files, account.kms_key), ""])
    with explained():
        there = dict(_listed(account, bucket, prefix))
        missing = {
            f"{prefix}{name}": file
            for name, file in files.items()
            if there.get(f"{prefix}{name}") != file.stat().st_size
        }
        _put(account, bucket, missing)
    name = "" if path.is_dir() else path.name
    return f"{SCHEME}{bucket}/{prefix}{name}"


def uploaded(account: Account, channels: Mapping[str, Path | str]) -> dict[str, str]:
    """The URI of each channel; what lies here is uploaded, once where channels share it."""
    here = dict.fromkeys(source for source in channels.values() if isinstance(source, Path))
    uris = {path: upload(account, path, "data") for path in here}
    return {
        name: uris[source] if isinstance(source, Path) else source
        for name, source in channels.items()
    }


def check_uri(account: Account, uri: str) -> None:
    """Raises DataError where no bytes lie under ``uri``, or none in its first 1,000 objects;
    AwsError.
    """
    bucket, _, prefix = uri[len(SCHEME) :].partition("/")
    if not bucket:
        raise DataError(f"{uri}: names no bucket; expected s3://BUCKET/KEY")
    if account.is_unsigned:
        return
    try:
        with explained():
            answer = account.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    except AwsError as error:
        if error.aws_code == "NoSuchBucket":
            raise DataError(f"{uri}: there is no such bucket") from None
        raise _told(account, uri, error) from None
    if not any(int(found["Size"]) for found in answer.get("Contents", ())):
        raise DataError(f"{uri}: nothing lies there: list it by `aws s3 ls {uri}`")


def size(account: Account, source: str | Path) -> int:
    """How many bytes ``source`` has, here or in S3; of very many objects the first MAX_SIZED.

    Raises AwsError.
    """
    if not is_uri(source):
        return sum(file.stat().st_size for file in walk(Path(source)).files.values())
    bucket, _, prefix = str(source)[len(SCHEME) :].partition("/")
    with explained():
        return sum(count for _, count in islice(_listed(account, bucket, prefix), MAX_SIZED))


def download(account: Account, uri: str, target: Path, most: int) -> None:
    """Write the object ``uri`` to ``target``. Raises DataError where it has over ``most`` bytes."""
    bucket, _, key = uri[len(SCHEME) :].partition("/")
    try:
        with explained():
            client = account.client("s3")
            size = client.head_object(Bucket=bucket, Key=key)["ContentLength"]
            if size > most:
                raise DataError(f"{uri}: has {size:,} bytes, more than {most:,}")
            client.download_file(bucket, key, str(target))
    except AwsError as error:
        if error.aws_code in ("404", "NoSuchKey", "NoSuchBucket"):
            raise DataError(f"{uri}: there is no such object") from None
        raise _told(account, uri, error) from None


def ensured_bucket(account: Account) -> str:
    """The name of the account's bucket for SageMaker, which is made where there is none."""
    client, name = account.client("s3"), account.bucket
    if account in _WITH_BUCKET:
        return name
    try:
        with explained():
            client.head_bucket(Bucket=name)
    except AwsError as error:
        if error.aws_code != "404":
            raise _told(account, f"{SCHEME}{name}", error) from None
        place: dict[str, Any] = {}
        if account.region != "us-east-1":  # where it may not be named
            place["CreateBucketConfiguration"] = {"LocationConstraint": account.region}
        with explained():
            client.create_bucket(Bucket=name, **place)
    _WITH_BUCKET.add(account)
    return name


def _told(account: Account, uri: str, error: AwsError) -> AwsError:
    """The error with where, and with whose the bucket was expected to be where that may be why."""
    text = f"{uri}: {error}"
    if error.aws_code in REFUSED:
        owner = account.bucket_owner or account.identity["Account"]
        text += (
            f"; or the bucket is not account {owner}'s, as was expected: for that of another give "
            "--bucket-owner ACCOUNT, or any"
        )
    return AwsError(text, error.aws_code)


def _digest(files: dict[str, Path], key: str) -> str:
    """The SHA-256 of all names and contents, in hexadecimal; another one by each ``key``, for what
    lies there already may be encrypted otherwise.
    """
    digest = hashlib.sha256(key.encode())
    for name in sorted(files):
        try:
            written = quote(name)
        except UnicodeEncodeError:
            raise DataError(f"{files[name]!r}: S3 takes no name that is not UTF-8") from None
        digest.update(f"{RandomAccess(files[name]).digest()} {written}\n".encode())
    return digest.hexdigest()


def objects(account: Account, uri: str) -> Iterator[dict[str, Any]]:
    """What lies below ``uri``, as ListObjectsV2 says it. botocore's errors pass."""
    bucket, _, prefix = uri[len(SCHEME) :].partition("/")
    for page in (
        account.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    ):
        yield from page.get("Contents", ())


def _listed(account: Account, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
    """Key and size of each object; nothing of a bucket that a dry run only would make."""
    try:
        for found in objects(account, f"{SCHEME}{bucket}/{prefix}"):
            yield found["Key"], found["Size"]
    except account.client("s3").exceptions.NoSuchBucket:
        if not account.dry:
            raise


def _put(account: Account, bucket: str, files: dict[str, Path]) -> None:
    """Upload ``files`` by key, many at once; in a dry run one after the other, in order."""
    from s3transfer.futures import NonThreadedExecutor
    from s3transfer.manager import TransferManager

    executor = NonThreadedExecutor if account.dry else None
    with TransferManager(account.client("s3"), executor_cls=executor) as manager:
        futures = [manager.upload(str(file), bucket, key) for key, file in files.items()]
        for future in futures:
            future.result()
