"""What every part of core may use: the terminal, later child processes, cores, atomic writes.

May import the standard library and the errors of core alone.
"""
