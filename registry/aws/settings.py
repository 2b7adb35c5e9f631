"""What a company decides for all that SageMaker runs: network, keys, isolation, tags, role.

Each setting is decided by its flag (``COMPANY_FLAGS``), else by its environment variable, else by
the table ``[tool.algoshelf.sagemaker]`` of pyproject.toml, here or in a folder above.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Callable, Mapping

from ...core.runtime.durations import parse_duration
from ...core.runtime.errors import InputError, MissingDependencyError, did_you_mean
from ..flags import COMPANY_FLAGS, company_flags

if TYPE_CHECKING:
    from .account import Account
    from .rollback import Report

PROJECT, TABLE = "pyproject.toml", "tool.algoshelf.sagemaker"
FILE, FAST_FILE, PIPE = "file", "fastfile", "pipe"
INPUT_MODES = MappingProxyType({FILE: "File", FAST_FILE: "FastFile"})
# Bounds of the API: VpcConfig.Subnets and SecurityGroupIds, KeepAlivePeriodInSeconds,
# MaximumRetryAttempts, and the tags that are left beside algoshelf's own.
MAX_SUBNETS, MAX_GROUPS, MAX_WARM_SECONDS, MAX_RETRIES, MAX_TAGS = 16, 5, 3600, 30, 40
TAG_KEY, TAG_VALUE = re.compile(r"[\w.:/+@ -]{1,128}"), re.compile(r"[\w.:/=+@ -]{0,256}")
OURS = ("algoshelf", "aws:")  # what the keys of a company's tags do not begin with
YES, NO = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True)
class Settings:
    """What is asked for; empty, False or 0 where nothing is. ``warm_pool`` is in seconds.

    ``origins`` says of each that was given where it was found: its flag, variable or file.
    """

    role: str = ""
    vpc_subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    kms_key: str = ""
    volume_kms_key: str = ""
    network_isolation: bool = False
    encrypt_traffic: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    warm_pool: int = 0
    input_mode: str = FILE
    retry: int = 0
    origins: Mapping[str, str] = field(default_factory=dict)

    def faults(self) -> list[str]:
        """What does not go together."""
        if bool(self.vpc_subnets) == bool(self.security_groups):
            return []
        there, lacking = "vpc_subnets", "--security-groups"
        if self.security_groups:
            there, lacking = "security_groups", "--vpc-subnets"
        return [f"{self.origins[there]}: AWS wants {lacking} too: give both, or neither"]

    def of_model(self) -> dict[str, Any]:
        """Of CreateModel."""
        found: dict[str, Any] = {}
        if self.vpc_subnets:
            found["VpcConfig"] = {
                "SecurityGroupIds": list(self.security_groups),
                "Subnets": list(self.vpc_subnets),
            }
        if self.network_isolation:
            found["EnableNetworkIsolation"] = True
        return found

    def of_changed_model(self, kept: Mapping[str, Any]) -> dict[str, Any]:
        """Of CreateModel in place of one that has ``kept``; what is not given here stays."""
        found = {**kept, **self.of_model()}
        if "network_isolation" in self.origins and not self.network_isolation:
            found.pop("EnableNetworkIsolation", None)
        return found

    def of_training(self) -> dict[str, Any]:
        """Of CreateTrainingJob, and of a tuning job's TrainingJobDefinition."""
        found = self.of_model()
        if self.encrypt_traffic:
            found["EnableInterContainerTrafficEncryption"] = True
        if self.retry:
            found["RetryStrategy"] = {"MaximumRetryAttempts": self.retry}
        return found

    def of_resources(self) -> dict[str, Any]:
        """Of ResourceConfig."""
        found: dict[str, Any] = self.of_disks("VolumeKmsKeyId")
        if self.warm_pool:
            found["KeepAlivePeriodInSeconds"] = self.warm_pool
        return found

    def of_disks(self, field: str) -> dict[str, str]:
        """The key of the instances' disks, which the API calls ``field`` there."""
        return {field: self.volume_kms_key} if self.volume_kms_key else {}

    def of_output(self) -> dict[str, str]:
        """Of OutputDataConfig, TransformOutput and whatever else is written to S3 by SageMaker."""
        return {"KmsKeyId": self.kms_key} if self.kms_key else {}


def resolved(command: str, flags: Mapping[str, Any]) -> Settings:
    """What counts for ``command``: ``flags`` are its own by name, None where they are not given.

    Raises InputError with every fault, each with the place where it stands.
    """
    path, table = _project()
    faults = _unknown(path, table)
    values: dict[str, Any] = {}
    origins = {}
    for row in company_flags(command):
        written = row[0].split("/")[0]
        name = written[2:].replace("-", "_")
        variable = f"ALGOSHELF_{name.upper()}"
        found, origin = flags.get(name), written
        if found is None and os.environ.get(variable):
            found, origin = os.environ[variable], variable
        elif found is None and written[2:] in table:
            found, origin = table[written[2:]], f"{path}, [{TABLE}] {written[2:]}"
        if found is None:
            continue
        try:
            values[name] = PARSERS[name](_text(found))
        except ValueError as error:
            faults.append(f"{origin}: {error}")
        origins[name] = origin
    settings = Settings(**values, origins=origins)
    faults = faults or settings.faults()
    if faults:
        raise InputError(*faults)
    return settings


def told(settings: Settings) -> list[str]:
    """A line for each setting that is not a flag's: what it is, and where it was found."""
    lines = []
    for name, origin in settings.origins.items():
        if origin.startswith("--"):
            continue
        value = getattr(settings, name)
        if isinstance(value, Mapping):
            value = [f"{key}={text}" for key, text in value.items()]
        shown = ",".join(value) if isinstance(value, (list, tuple)) else str(value)
        lines.append(f"--{name.replace('_', '-')} is {shown}, by {origin}")
    return lines


def with_wheels(settings: Settings, account: Account, report: Report) -> bool:
    """Whether the packages are packed with the code; a dry run without credentials fetches none."""
    if not settings.network_isolation:
        return False
    if account.is_unsigned:
        report("--network-isolation: the wheels that would be packed are left out of this dry run.")
    else:
        report("--network-isolation: what the container would install is packed with the code.")
    return not account.is_unsigned


def _text(value: Any) -> str:
    """A value of the file as a flag has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{key}={text}" for key, text in value.items())
    return str(value)


def _project() -> tuple[Path, Mapping[str, Any]]:
    """The nearest pyproject.toml with the table, and the table; both are empty without one."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        path = folder / PROJECT
        try:
            content = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from None
        if "algoshelf" in content:
            table = _table(path, content)
            if table is not None:
                return path, table
    return here, {}


def _table(path: Path, content: str) -> Mapping[str, Any] | None:
    try:
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
    except ImportError:
        raise MissingDependencyError(
            f"{path}: is read by tomli on Python before 3.11: pip install 'algoshelf[sagemaker]'"
        ) from None
    try:
        found: Any = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: is no TOML: {error}") from None
    for name in TABLE.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if found is not None and not isinstance(found, dict):
        raise InputError(f"{path}: [{TABLE}]: expected a table, got {found!r}")
    return found


def _unknown(path: Path, table: Mapping[str, Any]) -> list[str]:
    known = [row[0].split("/")[0][2:] for row, _ in COMPANY_FLAGS]
    return [
        f"{path}, [{TABLE}] {name}: no such setting"
        + (did_you_mean(name, known) or f"; there are {', '.join(known)}")
        for name in table
        if name not in known
    ]


def _ids(prefix: str, most: int) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        words = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
        wrong = [word for word in words if not re.fullmatch(rf"{prefix}-[0-9a-zA-Z]{{1,25}}", word)]
        if wrong:
            raise ValueError(f"expected IDs such as {prefix}-0a1b2c3d, got {wrong[0][:80]!r}")
        if len(words) > most:
            raise ValueError(f"AWS takes at most {most}, got {len(words)}")
        return words

    return parse


def _key(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9:/_-]{1,2048}", text):
        raise ValueError(f"expected the ID, the alias or the ARN of a KMS key, got {text[:80]!r}")
    return text


def _switch(text: str) -> bool:
    if text.lower() not in (*YES, *NO):
        raise ValueError(f"expected true or false, got {text[:80]!r}")
    return text.lower() in YES


def _tags(text: str) -> Mapping[str, str]:
    found = {}
    for word in text.split(","):
        key, equals, value = (part.strip() for part in word.partition("="))
        if not (equals and TAG_KEY.fullmatch(key) and TAG_VALUE.fullmatch(value)):
            raise ValueError(
                f"expected KEY=VALUE of letters, digits, blanks and _.:/=+-@, got {word[:80]!r}"
            )
        if key.lower().startswith(OURS):
            raise ValueError(f"{key!r}: tags that begin with {' or '.join(OURS)} are not yours")
        found[key] = value
    if len(found) > MAX_TAGS:
        raise ValueError(f"expected at most {MAX_TAGS} tags, got {len(found)}")
    return found


def _warm(text: str) -> int:
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= MAX_WARM_SECONDS:
        raise ValueError(f"expected a time such as 10m, at most 1h, got {text[:80]!r}")
    return int(seconds)


def _mode(text: str) -> str:
    if text == PIPE:
        raise ValueError(
            "pipe hands the data over as one stream that can be read once, without names of files; "
            "training reads it several times, and not in order: choose fastfile, which streams "
            "from S3 too, or file"
        )
    if text not in INPUT_MODES:
        raise ValueError(f"expected {', '.join((*INPUT_MODES, PIPE))}, got {text[:80]!r}")
    return text


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text) or int(text) > MAX_RETRIES:
        raise ValueError(f"expected a whole number from 0 to {MAX_RETRIES}, got {text[:80]!r}")
    return int(text)


def _role(text: str) -> str:
    if not text.strip():
        raise ValueError(
            "expected the name or the ARN of a role, got ''; without it, $ALGOSHELF_ROLE counts"
        )
    return text


PARSERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "role": _role,
        "vpc_subnets": _ids("subnet", MAX_SUBNETS),
        "security_groups": _ids("sg", MAX_GROUPS),
        "kms_key": _key,
        "volume_kms_key": _key,
        "network_isolation": _switch,
        "encrypt_traffic": _switch,
        "tags": _tags,
        "warm_pool": _warm,
        "input_mode": _mode,
        "retry": _count,
    }
)
