"""What a user of AWS's MXNet serving toolkit writes for a Gluon classifier; its defaults do the
rest.
"""

import os

import mxnet as mx


def model_fn(model_dir):
    block = mx.gluon.SymbolBlock.imports(
        os.path.join(model_dir, "model-symbol.json"),
        ["data"],
        os.path.join(model_dir, "model-0000.params"),
        ctx=mx.cpu(),
    )
    block.hybridize(static_alloc=True, static_shape=True)
    return block


def predict_fn(data, block):
    return mx.nd.softmax(block(data))
