"""runtime: what every part may use: files written and read whole, processes, the files of a network.

Imports nothing of core but ``errors``, ``types`` and ``mx``.
"""
