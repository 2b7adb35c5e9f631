"""What all of core may use: processors and quotas, child processes, atomic writes, digests.

Imports nothing of core but its errors and types.
"""
