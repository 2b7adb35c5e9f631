"""What the review app costs: nothing while nobody asks, and so much a request.

Figures of us-east-1, each with its source; other regions differ by some percents.
"""

from __future__ import annotations

REGION = "us-east-1"
# AWS's white paper "Best practices for designing API Gateway private APIs", table 4: an HTTP API,
# the first 300 million requests of a month.
API_USD = 1.00 / 1_000_000
# aws.amazon.com/lambda/pricing as api-evangelist/aws-lambda quotes it, 2026-09-20.
CALL_USD = 0.20 / 1_000_000
# artillery 2.0.28, lib/platform/aws-lambda/prices.js, by the processor.
GB_SECOND_USD = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
# aws.amazon.com/cloudwatch/pricing: a standard alarm, a month.
ALARM_USD = 0.10
SECONDS = 0.1  # of a request, as it is assumed
DAYS = 30.0  # of a month


def of_request(memory: int, machine: str) -> float:
    """USD of a request to a function of ``memory`` MB; logs and traffic are billed on top."""
    return API_USD + CALL_USD + GB_SECOND_USD[machine] * memory / 1024 * SECONDS


def requests_a_day(usd: float, memory: int, machine: str) -> int:
    """How many requests a day cost ``usd`` a month."""
    return max(1, round(usd / DAYS / of_request(memory, machine)))
