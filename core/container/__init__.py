"""container: training jobs in a SageMaker container, and serving under AWS's toolkit.

May import all of core.
"""
