"""tasks: one module per task: its base class, its evaluation, and the form of its answers.

May import all of core but serving, transform, container and benchmark.
"""
