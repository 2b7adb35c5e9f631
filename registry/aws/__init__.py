"""aws: what algoshelf does in an AWS account; only here are boto3 and the SageMaker SDK imported.

Each of them is imported when it is first needed: the command line answers without them.
"""
