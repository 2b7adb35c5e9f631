"""data: what examples come from: tables and texts as people keep them, and what lies beside them.

May import core.errors and core.types, numpy and the standard library; never what requests are made
of, trained with or served by.
"""
