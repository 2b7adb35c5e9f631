"""container: training jobs in a SageMaker container, and serving under AWS's toolkit.

May import all of core.
"""

from ..runtime.deprecated import old_names

__getattr__ = old_names(__name__, "container")
