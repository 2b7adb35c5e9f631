"""Which instance types run MXNet, what they are for, and what a refusal offers instead."""

from __future__ import annotations

import pytest
from algoshelf.core.runtime.errors import InputError, UnknownNameError
from algoshelf.registry.aws import instances
from algoshelf.registry.aws.instances import ENDPOINT, TRAINING, TRANSFORM, USES
from botocore.session import get_session

SHAPES = {
    TRAINING: "TrainingInstanceType",
    ENDPOINT: "ProductionVariantInstanceType",
    TRANSFORM: "TransformInstanceType",
}


@pytest.mark.parametrize("use", USES)
def test_the_types_of_a_use_are_those_that_sagemaker_takes(use: str) -> None:
    model = get_session().get_service_model("sagemaker")
    ours = {one.name for one in instances.known() if use in one.uses}
    assert len(ours) > 100
    assert ours <= set(model.shape_for(SHAPES[use]).enum)


def test_what_a_type_has() -> None:
    found = instances.find("ml.g5.12xlarge")
    assert (found.vcpus, found.memory, found.gpus, found.accelerator) == (48, 192, 4, "A10G")
    assert found.compute_capability == (8, 6)
    assert found.uses == set(USES)
    assert instances.find("ml.m5.xlarge").gpus == 0


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ml.g5xlarge", "did you mean 'ml.g5.xlarge'?"),
        ("ml.g5.3xlarge", "there are ml.g5.xlarge, ml.g5.2xlarge, ml.g5.4xlarge"),
        ("g5.xlarge", "on SageMaker it is 'ml.g5.xlarge'"),
        ("", "`algoshelf sagemaker cost` lists them"),
        ("ml.g5." + "x" * 10_000, "there are ml.g5.xlarge"),
        ("x" * 10_000, "`algoshelf sagemaker cost` lists them"),
    ],
)
def test_an_unknown_name_is_answered_with_known_ones(name: str, hint: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        instances.find(name)
    assert hint in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "name",
    [
        "ml.m5.xlarge",
        "ml.c6i.2xlarge",
        "ml.p3.2xlarge",
        "ml.p3dn.24xlarge",
        "ml.g4dn.xlarge",
        "ml.g5.xlarge",
        "ml.g6.xlarge",
        "ml.g6e.xlarge",
        "ml.p4d.24xlarge",
    ],
)
def test_mxnet_runs_from_volta_to_ada_and_on_any_x86_processor(name: str) -> None:
    instances.find(name).check(TRAINING)


@pytest.mark.parametrize(
    ("name", "use", "reason", "instead"),
    [
        ("ml.p5.48xlarge", TRAINING, "H100 has compute capability 9.0", "ml.p4d.24xlarge (8 × A1"),
        ("ml.p5.4xlarge", TRAINING, "H100 has compute capability 9.0", "ml.g6e.4xlarge (1 × L40S"),
        ("ml.p6-b200.48xlarge", ENDPOINT, "compute capability 10.0", "ml.g5.48xlarge (8 × A10G)"),
        ("ml.g7e.2xlarge", TRAINING, "compute capability 12.0", "ml.g5.2xlarge (1 × A10G)"),
        ("ml.p2.xlarge", TRAINING, "K80 has compute capability 3.7", "ml.g4dn.xlarge (1 × T4)"),
        ("ml.trn1.2xlarge", TRAINING, "Trainium is no GPU of NVIDIA", "ml.g6.2xlarge (1 × L4)"),
        ("ml.inf2.xlarge", TRANSFORM, "Inferentia2 is no GPU of NVIDIA", "ml.g5.xlarge (1 × A10G"),
        ("ml.c6g.xlarge", ENDPOINT, "arm64, and AWS's MXNet image is made for", "ml.c6i.xlarge"),
        ("ml.m6g.large", ENDPOINT, "give --image, an image of your own for arm64", "ml.m5.large"),
        ("ml.p4d.24xlarge", TRANSFORM, "not offer it for transform", "ml.g5.48xlarge (8 × A10G)"),
        ("ml.t2.medium", TRAINING, "not offer it for training (only endpoint)", "ml.t3.medium"),
    ],
)
def test_what_cannot_run_is_refused_with_what_can(
    name: str, use: str, reason: str, instead: str
) -> None:
    with pytest.raises(InputError) as caught:
        instances.find(name).check(use)
    (fault,) = caught.value.faults
    assert fault.startswith(f"{name}: ")
    assert reason in fault
    assert instead in fault


@pytest.mark.parametrize("family", ["c6g", "c7g", "c8g", "m6g", "m8g", "r6g", "r8g"])
def test_an_image_of_ones_own_runs_on_graviton(family: str) -> None:
    found = instances.find(f"ml.{family}.large")
    found.check(ENDPOINT, own_image=True)
    assert found.note == "needs an image of your own that is built for arm64"
    assert not found.obstacle


def test_what_is_offered_instead_would_itself_be_taken() -> None:
    for one in instances.known():
        for use in USES:
            try:
                one.check(use)
            except InputError as error:
                named = str(error).rpartition("instead: ")[2]
                alternatives = [name.split(" ")[0] for name in named.split(", ")]
                assert alternatives != [""]
                for name in alternatives:
                    instances.find(name).check(use, gpu=bool(one.accelerators))


def test_all_faults_are_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        instances.find("ml.c6g.xlarge").check(TRAINING, gpu=True)
    assert len(caught.value.faults) == 3
    assert "it has no GPU; instead: ml.g4dn.xlarge (1 × T4)" in str(caught.value)


def test_a_batch_is_split_over_the_gpus_of_all_hosts() -> None:
    instances.check_batch(64, instances.find("ml.g5.12xlarge"), hosts=2)
    instances.check_batch(7, instances.find("ml.m5.xlarge"))
    with pytest.raises(InputError, match="over 8 devices: give --batch-size 96 or 104"):
        instances.check_batch(100, instances.find("ml.g5.12xlarge"), hosts=2)
    with pytest.raises(InputError, match=r"over 3 devices: give --batch-size 3$"):
        instances.check_batch(2, instances.find("ml.m5.xlarge"), hosts=3)
    with pytest.raises(InputError, match="--hosts: expected 1 or more"):
        instances.check_batch(2, instances.find("ml.m5.xlarge"), hosts=0)
