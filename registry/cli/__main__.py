"""``python -m algoshelf.registry.cli``: the same as the command ``algoshelf``."""

from . import main

main()
