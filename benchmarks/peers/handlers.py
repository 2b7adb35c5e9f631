"""algoshelf's own four handlers as an entry point: decoding and encoding as in its own server."""

from pathlib import Path

from algoshelf.core.artifact.folder import Artifact
from algoshelf.registry.discovery import catalog


def model_fn(model_dir):
    algorithm = catalog().get(Artifact.open(Path(model_dir)).metadata.algorithm).algorithm
    return algorithm, algorithm.model_fn(model_dir)


def transform_fn(served, body, content_type, accept):
    algorithm, model = served
    raw = body.encode() if isinstance(body, str) else bytes(body)
    prediction = algorithm.predict_fn(algorithm.input_fn(raw, content_type), model)
    return algorithm.output_fn(prediction, accept), accept
