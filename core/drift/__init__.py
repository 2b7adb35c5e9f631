"""drift: whether requests, answers and figures have changed since a baseline, or it is noise.

May import tasks, inference, algorithm, artifact, payload, data and runtime.
"""
