"""data: what examples come from: tables, texts and pictures, and what lies beside them.

May import runtime, errors and types only; never what requests are made of, trained with
or served by.
"""
