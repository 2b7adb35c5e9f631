"""packaging: package any algorithm for SageMaker: as a script, an image, or a model with code.

May import core and the catalog, but neither mxnet nor an AWS SDK.
"""
