"""tasks: a module a task: its base class, its evaluation, and what its answers look like.

May import all of core but serving, transform, container and benchmark.
"""
