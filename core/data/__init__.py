"""data: examples from files of every kind, read whole or in pieces.

May import runtime only.
"""
