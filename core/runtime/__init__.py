"""What everything may use: whole writes that survive a kill, signals, the end of a process.

May import ``core.errors`` and the standard library only.
"""
