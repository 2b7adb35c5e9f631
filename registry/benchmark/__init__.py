"""benchmarking: what a training and a server cost, measured here, compared and reported.

May import core; what one run measures lies in core/benchmark, which runs in a container as well.
"""
