"""algorithms: the built-in algorithms, one folder each, plugins like any other.

A folder imports ``algoshelf.core`` only: no other algorithm, not the registry, no AWS SDK.
"""

from ..core.runtime.deprecated import renamed_package

renamed_package(f"{__name__}.text_sentiment", f"{__name__}.text_classification")
