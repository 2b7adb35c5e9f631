"""What is stored: log groups of endpoints, and the bytes in the account's bucket."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import islice
from typing import Iterator

from .. import data, logs, tags
from ..account import Account, AwsError, explained
from ..rollback import Report
from . import Item, Kind, Wanted
from .hosting import LOG_GROUP

BUCKET = "bucket"
MAX_COUNTED = 10_000  # objects of a bucket: ten requests
# CloudWatch is late to say how much a group stores: nobody is to lose a log by that.
AGE = timedelta(days=logs.RETENTION_DAYS + 1)


def _log_groups(account: Account, wanted: Wanted) -> Iterator[Item]:
    client = account.client("logs")
    with explained():
        pages = client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=logs.PREFIX)
        found = [each for page in pages for each in page["logGroups"]]
    for each in found:
        name = each["logGroupName"]
        created = datetime.fromtimestamp(each["creationTime"] / 1000, timezone.utc)
        labels = wanted.labels(name, created, partial(logs.labels, account, each["arn"]))
        if labels is not None:
            kept = f"kept {each['retentionInDays']} days" if "retentionInDays" in each else "kept"
            yield Item(LOG_GROUP, name, kept, created, "", 0.0, labels, each.get("storedBytes", 0))


def _end_log_group(account: Account, item: Item, report: Report) -> None:
    logs.remove(account, item.name)


def _bucket(account: Account, wanted: Wanted) -> Iterator[Item]:
    """The part of the account's bucket that only algoshelf writes to."""
    name = data.root(account) + "/"
    objects = []
    try:
        with explained():
            objects = list(islice(data.objects(account, name), MAX_COUNTED + 1))
    except AwsError as error:
        if error.aws_code != "NoSuchBucket":
            raise
    if not objects:
        return
    oldest = min(each["LastModified"] for each in objects)
    if wanted.labels(name, oldest, lambda: {tags.VERSION: ""}) is None:
        return
    more = len(objects) > MAX_COUNTED
    counted = objects[:MAX_COUNTED]
    status = f"{'more than ' * more}{len(counted):,} objects"
    size = sum(each["Size"] for each in counted)
    yield Item(BUCKET, name, status, oldest, "", 0.0, {tags.VERSION: ""}, size)


LOG_GROUPS = Kind(LOG_GROUP, _log_groups, _end_log_group, bills=False, sweeps=True, age=AGE)
BUCKETS = Kind(BUCKET, _bucket, None, bills=False)
