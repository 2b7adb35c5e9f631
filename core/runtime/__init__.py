"""runtime: what every part may use: whole writes, archives, cores, signals, the files of a network.

May import ``core.errors``, ``types`` and ``mx`` only.
"""
