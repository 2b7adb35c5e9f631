"""What /proc/cpuinfo says, in words that a stranger understands."""

from __future__ import annotations

import pytest
from algoshelf.core.benchmark.machine import described, environment

AMD = """\
vendor_id	: AuthenticAMD
cpu family	: {}
model		: {}
model name	: AMD EPYC
flags		: {}
"""


@pytest.mark.parametrize(
    ("cpuinfo", "told"),
    [
        (AMD.format(25, 17, "avx2 avx512f"), "AMD EPYC, Zen 4 (family 25, model 17), AVX-512"),
        (AMD.format(25, 1, "avx avx2"), "AMD EPYC, Zen 3 (family 25, model 1), AVX2"),
        (AMD.format(26, 2, "avx2 avx512f"), "AMD EPYC, Zen 5 (family 26, model 2), AVX-512"),
        (AMD.format(99, 3, "avx2"), "AMD EPYC, family 99, model 3, AVX2"),
        (AMD.format(25, 17, "") + AMD.format(23, 1, ""), "AMD EPYC, Zen 4 (family 25, model 17)"),
        (
            "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n",
            "Arm, Neoverse N1 (implementer 0x41, part 0xd0c), NEON",
        ),
        ("", ""),
        ("nothing of it\n", ""),
    ],
)
def test_a_processor_is_named_by_its_design(cpuinfo: str, told: str) -> None:
    assert described(cpuinfo) == told


def test_that_of_this_machine_is_named() -> None:
    assert environment()["processor"]
