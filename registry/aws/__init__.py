"""aws: what algoshelf does in an AWS account, by boto3, which is imported only here.

It is imported at its first use, so that other commands work without it. ``sdk`` alone needs AWS's
SageMaker SDK, and nothing here needs ``sdk``.
"""
