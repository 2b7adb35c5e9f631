"""A Flask application around the model in the folder MODEL; ENTRY is gluon or handlers."""

import importlib
import io
import os

import mxnet as mx
import numpy as np
from flask import Flask, Response, request

entry = importlib.import_module(os.environ["ENTRY"])
model = entry.model_fn(os.environ["MODEL"])
app = Flask(__name__)


@app.get("/ping")
def ping():
    return ""


@app.post("/invocations")
def invocations():
    accept = request.headers["Accept"]
    if hasattr(entry, "transform_fn"):
        answer, _ = entry.transform_fn(model, request.get_data(), request.content_type, accept)
    else:
        data = mx.nd.array(np.load(io.BytesIO(request.get_data())))
        buffer = io.BytesIO()
        np.save(buffer, entry.predict_fn(data, model).asnumpy())
        answer = buffer.getvalue()
    return Response(answer, content_type=accept)
