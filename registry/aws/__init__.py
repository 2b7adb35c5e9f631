"""aws: what algoshelf does in an AWS account; boto3 and the SageMaker SDK are imported only here.

Each of them is imported at its first use, so that other commands work without them.
"""
