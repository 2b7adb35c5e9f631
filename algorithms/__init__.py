"""algorithms: the built-in algorithms, one folder each, plugins like any other.

A folder imports ``algoshelf.core`` only: no other algorithm, not the registry, no AWS SDK.
"""
