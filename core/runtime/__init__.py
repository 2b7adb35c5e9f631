"""runtime: what all of core may use: mxnet with its repairs, devices, errors, types, whole files.

May import nothing of core.
"""
