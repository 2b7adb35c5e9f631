"""The algorithm algorithm_name as an entry point of AWS's MXNet image: it trains, and it answers.

Packaged by DISTRIBUTION. The image's toolkits run this file as a script to train, and import it to
serve, where they call ``model_fn`` and ``transform_fn``; ``input_fn``, ``predict_fn`` and
``output_fn``, which they refuse beside ``transform_fn``, are ALGORITHM's.
"""

from algorithm_module import AlgorithmClass
from algoshelf.core.container import job, toolkit

ALGORITHM = AlgorithmClass()


def model_fn(model_dir, context=None):
    return toolkit.load(ALGORITHM, model_dir, context)


def transform_fn(model, body, content_type, accept, context=None):
    return toolkit.transform(ALGORITHM, model, body, content_type, accept, context)


if __name__ == "__main__":
    job.run(ALGORITHM, "DISTRIBUTION")
