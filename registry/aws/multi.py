"""Multi-model endpoints: one container, and a folder in S3 whose archives it loads when asked.

A request names the archive (``TargetModel``); what is put into the folder answers at once, without
an update (https://docs.aws.amazon.com/sagemaker/latest/dg/multi-model-endpoints.html).
"""

from __future__ import annotations

from typing import Any, Iterator

from ...core.runtime.errors import InputError
from . import data, removal, tags
from .account import Account, AwsError, explained
from .names import is_name

MODE = "MultiModel"
ENDING = ".tar.gz"
FOLDER = "endpoints"


def folder(account: Account, endpoint: str) -> str:
    """The URI of the folder of an endpoint that this run makes: nobody else's has it."""
    return f"{data.root(account)}/{FOLDER}/{endpoint}-{account.run}/"


def of_endpoint(account: Account, endpoint: str) -> str:
    """The URI of the folder of an endpoint that there is. Raises InputError where it has none."""
    described = removal.endpoint(account, endpoint)
    if described is None:
        raise InputError(
            f"{endpoint}: there is no such endpoint in {account.region}; "
            "`algoshelf sagemaker list` shows what there is"
        )
    found = tags.of(account, described["EndpointArn"]).get(tags.MODELS, "")
    if not is_own(found, endpoint):
        raise InputError(
            f"{endpoint}: is no multi-model endpoint of algoshelf's: `algoshelf sagemaker deploy "
            "MODEL... --multi-model` makes one"
        )
    return found


def is_own(uri: str, endpoint: str) -> bool:
    """Whether ``uri``, as a tag has it, is a folder that ``folder`` has named for the endpoint."""
    return f"/{data.PREFIX}/{FOLDER}/{endpoint}-" in uri and uri.endswith("/")


def put(account: Account, place: str, name: str, uri: str) -> None:
    """Copy the archive at ``uri`` into the folder, as ``name``. Raises AwsError, InputError."""
    if not is_name(name):
        raise InputError(f"{name}: expected letters, digits and inner hyphens as a model's name")
    bucket, key = _parts(place + name + ENDING)
    source_bucket, source_key = _parts(uri)
    with explained():
        account.client("s3").copy_object(
            Bucket=bucket, Key=key, CopySource={"Bucket": source_bucket, "Key": source_key}
        )


def listed(account: Account, place: str) -> Iterator[dict[str, Any]]:
    """Name, bytes and time of each model in the folder."""
    _, prefix = _parts(place)
    with explained():
        found = list(data.objects(account, place))
    for each in found:
        name = each["Key"][len(prefix) :]
        yield {
            "name": name[: -len(ENDING)] if name.endswith(ENDING) else name,
            "target_model": name,
            "bytes": each["Size"],
            "changed": each["LastModified"],
        }


def remove(account: Account, place: str, name: str) -> None:
    """Take the model out of the folder; a container that has loaded it keeps it for a while.

    Raises InputError where there is none of that name.
    """
    names = [each["name"] for each in listed(account, place)]
    if name not in names:
        raise InputError(f"{name}: is not among the models; there are {', '.join(names) or 'none'}")
    bucket, key = _parts(place + name + ENDING)
    with explained():
        account.client("s3").delete_object(Bucket=bucket, Key=key)


def clear(account: Account, place: str) -> None:
    """Remove the folder with all its models."""
    bucket, prefix = _parts(place)
    try:
        for each in list(listed(account, place)):
            with explained():
                account.client("s3").delete_object(Bucket=bucket, Key=prefix + each["target_model"])
    except AwsError as error:
        raise AwsError(f"{place}: {error}", error.aws_code) from None


def _parts(uri: str) -> tuple[str, str]:
    bucket, _, key = uri[len(data.SCHEME) :].partition("/")
    return bucket, key
