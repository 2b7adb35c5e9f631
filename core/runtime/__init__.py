"""runtime: what all of core may use: mxnet with its repairs, devices, errors, types, atomic writes.

May import nothing of core.
"""
