"""The review app as a function of AWS Lambda, with the model in it: algorithm_name.

Packaged by DISTRIBUTION. The model is loaded when Lambda imports this file, once for many requests.
"""

from pathlib import Path

import boto3
from algorithm_module import AlgorithmClass
from algoshelf.core.container.api_gateway import Function
from algoshelf.registry.web import app
from botocore.config import Config

HERE = Path(__file__).parent

lambda_handler = app.deployed(
    boto3.client, Config, HERE, Function.load(AlgorithmClass(), HERE / "model")
)
