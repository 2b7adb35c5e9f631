"""data: what examples come from: files and folders, read whole or piece by piece.

May import runtime only.
"""
