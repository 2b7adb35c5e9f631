"""Deploy, find and remove stacks of the review app, whole or not at all.

A stack is called PREFIX and the app's name, as is all that CloudFormation makes of it: so rights
can be bounded by that.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Iterator, Mapping

from ...core.runtime.errors import InputError, OutputError
from ..web import corrections
from ..web.template import ARCHIVE, CODE_BUCKET, CODE_KEY, CORRECTIONS, REMARKS, TEMPLATE, URL
from . import data, names, removal, tags
from .account import Account, AwsError, explained
from .rollback import Report, Rollback

PREFIX = "algoshelf-web-"
MAX_NAME = 40  # so that AWS's own additions fit behind it
MAX_TEMPLATE_BYTES = 51_200  # of a template that is sent as it is
POLL_SECONDS = 5.0
MOST_DELETED = 1000  # objects in one request
GOOD, GONE = ("CREATE_COMPLETE", "UPDATE_COMPLETE"), "DELETE_COMPLETE"


@dataclass(frozen=True)
class Folder:
    """What `algoshelf web --output` has written: a template with its remarks, and an archive."""

    path: Path
    template: str
    remarks: Mapping[str, Any]

    @property
    def archive(self) -> Path:
        return self.path / ARCHIVE

    @property
    def model(self) -> str:
        """How the model is called."""
        return str(self.remarks["Model"])

    @property
    def endpoint(self) -> str:
        """The endpoint that is asked; empty where the function holds the model."""
        return str(self.remarks["Endpoint"])


@dataclass(frozen=True)
class WebApp:
    """An app that is there, as CloudFormation describes its stack."""

    name: str
    described: Mapping[str, Any]

    @property
    def status(self) -> str:
        return str(self.described["StackStatus"])

    @property
    def created(self) -> datetime:
        found = self.described["CreationTime"]
        assert isinstance(found, datetime)
        return found

    @property
    def tags(self) -> dict[str, str]:
        return tags.read(self.described.get("Tags", ()))

    @property
    def url(self) -> str:
        return self._output(URL)

    @property
    def bucket(self) -> str:
        """Where its corrections are; empty where the stack is not complete."""
        return self._output(CORRECTIONS)

    def _output(self, key: str) -> str:
        found = {
            each["OutputKey"]: each["OutputValue"] for each in self.described.get("Outputs", ())
        }
        return str(found.get(key, ""))


def folder(path: Path) -> Folder:
    """The folder ``path``. Raises InputError where `algoshelf web --output` has not written it."""
    try:
        text = (path / TEMPLATE).read_text(encoding="utf-8")
        remarks = json.loads(text)["Metadata"][REMARKS]
        missing = {"Model", "Algorithm", "Endpoint", "Memory", "Machine"} - set(remarks)
        archived = (path / ARCHIVE).is_file()
    except (OSError, ValueError, KeyError, TypeError):
        missing, archived, text, remarks = {TEMPLATE}, False, "", {}
    if missing or not archived:
        raise InputError(
            f"{path}: is no folder that `algoshelf web --output` has written: expected {TEMPLATE}, "
            f"with its Metadata {REMARKS}, and {ARCHIVE}"
        )
    if len(text.encode()) > MAX_TEMPLATE_BYTES:
        raise InputError(
            f"{path / TEMPLATE}: has {len(text.encode()):,} bytes, more than {MAX_TEMPLATE_BYTES:,}"
        )
    return Folder(path, text, remarks)


def check_name(name: str) -> None:
    """Raises InputError where no app can be called so."""
    fault = names.fault(name, MAX_NAME)
    if not fault and name != name.lower():
        fault = f"--name: expected small letters, as the names of buckets have, got {name!r}"
    if fault:
        raise InputError(fault)


def deploy(
    account: Account, given: Folder, name: str, parameters: Mapping[str, str], report: Report
) -> str:
    """Make the stack of ``given``, and wait for it; the address of its page.

    ``parameters`` are the template's own, by name. On any error, Ctrl-C too, what was made is
    removed again. Raises AwsError, and InputError where the name is taken or the endpoint absent.
    """
    check_name(name)
    if find(account, name) is not None:
        raise InputError(
            f"{name}: there is an app of this name in {account.region}: choose another --name, or "
            f"end it by `algoshelf sagemaker web delete {name}`"
        )
    algorithm = str(given.remarks["Algorithm"])
    if given.endpoint:
        algorithm = _check_endpoint(account, given.endpoint)
    labels = [*tags.tags(algorithm, account.run), {"Key": tags.WEB, "Value": given.model}]
    if given.endpoint:
        labels.append({"Key": tags.ENDPOINT, "Value": given.endpoint})
    with Rollback(account, report) as rollback:
        uri = data.upload(account, given.archive, f"web/{name}-{account.run}")
        bucket, _, key = uri[len(data.SCHEME) :].partition("/")
        code = {CODE_BUCKET: bucket, CODE_KEY: key}
        try:
            rollback.creating(
                f"the stack {PREFIX}{name}",
                partial(_remove_own, account, name, report),
                f"aws cloudformation delete-stack --stack-name {PREFIX}{name}",
            )
            _create(account, given, name, {**parameters, **code}, labels)
            rollback.created()
            return "" if account.dry else _url(account, name, report)
        finally:  # CloudFormation has read it when the stack is there
            with explained():
                account.client("s3").delete_object(Bucket=bucket, Key=key)


def _create(
    account: Account,
    given: Folder,
    name: str,
    parameters: Mapping[str, str],
    labels: list[dict[str, str]],
) -> None:
    with explained():
        account.client("cloudformation").create_stack(
            StackName=PREFIX + name,
            TemplateBody=given.template,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            Capabilities=["CAPABILITY_IAM"],
            OnFailure="DO_NOTHING",  # what failed is read, then all is removed
            Tags=tags.signed(account, labels),
        )


def _url(account: Account, name: str, report: Report) -> str:
    """Where the page of an app is, once its stack is complete. Raises AwsError."""
    found = _settled(account, name, report)
    if found is None or found.status not in GOOD:
        raise AwsError(f"{PREFIX}{name}: {_why(account, PREFIX + name)}")
    return found.url


def find(account: Account, name: str) -> WebApp | None:
    """The app of this name, whoever made it; None where there is none."""
    try:
        with explained():
            answer = account.client("cloudformation").describe_stacks(StackName=PREFIX + name)
    except AwsError as error:
        if "does not exist" in str(error):
            return None
        raise
    found = [each for each in answer["Stacks"] if each["StackStatus"] != GONE]
    return WebApp(name, found[0]) if found else None


def apps(account: Account) -> Iterator[WebApp]:
    """All that are there, algoshelf's or not, by the beginning of their stacks' names."""
    with explained():
        pages = account.client("cloudformation").get_paginator("describe_stacks").paginate()
        for page in pages:
            for each in page["Stacks"]:
                if each["StackName"].startswith(PREFIX) and each["StackStatus"] != GONE:
                    yield WebApp(each["StackName"][len(PREFIX) :], each)


def kept(account: Account, app: WebApp) -> list[tuple[str, int]]:
    """Key and size of each correction of an app."""
    if not app.bucket:
        return []
    with explained():
        pages = (
            account.client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=app.bucket, Prefix=corrections.PREFIX)
        )
        return [(each["Key"], each["Size"]) for page in pages for each in page.get("Contents", ())]


def fetch(account: Account, app: WebApp, target: Path) -> int:
    """Write all corrections of an app to the new file ``target``, a line each; how many.

    Raises OutputError where there is such a file, or it cannot be written whole.
    """
    keys = [key for key, _ in kept(account, app)]
    try:
        with target.open("xb") as file:
            for key in keys:
                with explained():
                    answer = account.client("s3").get_object(Bucket=app.bucket, Key=key)
                    file.write(answer["Body"].read())
    except FileExistsError:
        raise OutputError(f"{target}: exists: choose another file") from None
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror}") from None
    return len(keys)


def remove(account: Account, app: WebApp, report: Report) -> None:
    """Delete an app, its corrections too, and wait until all of it is gone."""
    if app.bucket:
        _remove_objects(account, app.bucket, [{"Key": key} for key, _ in kept(account, app)])
    with explained():
        account.client("cloudformation").delete_stack(StackName=PREFIX + app.name)
    if account.dry:
        return
    left = _settled(account, app.name, report)
    if left is not None:
        raise AwsError(f"{PREFIX}{app.name}: {_why(account, PREFIX + app.name)}")


def _remove_own(account: Account, name: str, report: Report) -> None:
    """Remove the app ``name`` if this run has made it."""
    found = find(account, name)
    if found is not None and found.tags.get(tags.RUN) == account.run:
        remove(account, found, report)


def _check_endpoint(account: Account, name: str) -> str:
    """The algorithm of an endpoint, as its tag says. Raises InputError where it does not answer."""
    described = removal.endpoint(account, name)
    if described is None:
        raise InputError(
            f"{name}: there is no such endpoint in {account.region}; `algoshelf sagemaker list "
            "--all` shows what there is"
        )
    if described["EndpointStatus"] != removal.IN_SERVICE:
        raise InputError(f"{name}: is {described['EndpointStatus']}, not {removal.IN_SERVICE}")
    return tags.of(account, described["EndpointArn"]).get(tags.ALGORITHM, "unknown")


def _settled(account: Account, name: str, report: Report) -> WebApp | None:
    """The app when nothing changes any more; None when it is gone."""
    told = ""
    while True:
        found = find(account, name)
        if found is None or not found.status.endswith("_IN_PROGRESS"):
            return found
        if found.status != told:
            told = found.status
            report(f"{name}: {told.lower().replace('_', ' ')}")
        time.sleep(POLL_SECONDS)


def _why(account: Account, stack: str) -> str:
    """The first reason that CloudFormation gives for a failure."""
    with explained():
        events = account.client("cloudformation").describe_stack_events(StackName=stack)
    failed = [
        f"{each['LogicalResourceId']} ({each['ResourceType']}): {each['ResourceStatusReason']}"
        for each in events["StackEvents"]
        if each["ResourceStatus"].endswith("_FAILED") and each.get("ResourceStatusReason")
    ]
    return failed[-1] if failed else "failed, and CloudFormation does not say why"


def _remove_objects(account: Account, bucket: str, objects: list[dict[str, str]]) -> None:
    for place in range(0, len(objects), MOST_DELETED):
        part = objects[place : place + MOST_DELETED]
        with explained():
            answer = account.client("s3").delete_objects(
                Bucket=bucket, Delete={"Objects": part, "Quiet": True}
            )
        if answer.get("Errors"):
            first = answer["Errors"][0]
            raise AwsError(f"s3://{bucket}/{first['Key']}: {first['Message']}", first["Code"])
