"""inference: the one path from a request to an answer: input, predict, output.

May import algorithm, artifact, data, payload and runtime.
"""
