"""packaging: any plugin as SageMaker takes it: a script's folder, an image's, a model with code.

May import core and the catalog; imports neither mxnet nor an AWS SDK.
"""
