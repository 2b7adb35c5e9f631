"""The algorithm algorithm_name as a function of AWS Lambda: it answers requests of HTTP.

Packaged by DISTRIBUTION. The model is loaded when Lambda imports this file, once for many events.
"""

from pathlib import Path

from algorithm_module import AlgorithmClass
from algoshelf.core.container.api_gateway import Function

lambda_handler = Function.load(AlgorithmClass(), Path(__file__).with_name("model"))
