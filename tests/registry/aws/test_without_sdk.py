"""`pip install 'algoshelf[sagemaker]'` brings boto3, and not AWS's SageMaker SDK.

The tests in this folder run every command where it cannot be imported (``sdk_of_aws``); these are
of what the user sees of it.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from algoshelf.core.runtime.errors import InputError
from algoshelf.registry.aws import images

from tests.registry.aws.conftest import INSTANCE, Aws

ASKED = "import sys; sys.modules['sagemaker'] = None; "


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ASKED + code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_cannot_be_imported_here() -> None:
    with pytest.raises(ImportError):
        import sagemaker  # noqa: F401


@pytest.mark.parametrize("name", ["estimator", "model", "predictor", "tuner"])
def test_what_returns_objects_of_the_sdk_names_its_extra(name: str) -> None:
    done = run(f"from algoshelf import registry; registry.{name}")
    reason = done.stderr.splitlines()[-1]
    assert "pip install 'algoshelf[sagemaker-sdk]'" in reason
    assert "version 2, which is not installed" in reason


def test_a_region_without_aws_image_is_refused(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    role = aws.role()
    for region in ("mx-central-1", "nowhere-1"):
        with pytest.raises(InputError, match=f"{region}: AWS has no image of MXNet"):
            images.image(region, INSTANCE, "training")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "mx-central-1")
    done = aws("train", "kmeans", "--k", 3, "--instance", INSTANCE, "--role", role, "--yes")
    assert "give an image of your own (--image" in str(done.exception)
    assert aws.changes() == []
