"""The review app as a function of AWS Lambda: it asks an endpoint of Amazon SageMaker."""

from pathlib import Path

import boto3
from algoshelf.registry.web import app
from botocore.config import Config

lambda_handler = app.deployed(boto3.client, Config, Path(__file__).parent)
