"""data: what examples come from: files of every kind, read whole or piece by piece.

May import runtime only.
"""
