"""benchmark: measure the cost of training and serving, compare measurements, write reports.

May import core. One measured run is in core/benchmark, which also runs in a container.
"""
