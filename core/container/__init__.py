"""container: training jobs in a SageMaker container, and serving under AWS's toolkit.

May import all of core.
"""

from ..runtime.deprecated import keep_old_names

keep_old_names(__name__, "container")
