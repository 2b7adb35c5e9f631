"""runtime: what every part may use: files written and read whole, the files of a network.

Imports nothing of core but ``errors``, ``types`` and ``mx``.
"""
