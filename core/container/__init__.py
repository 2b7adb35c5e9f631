"""container: a SageMaker container: its paths, its job, and AWS's toolkit.

May import all of core.
"""
