"""serving: answer requests over HTTP with trained models.

May import inference, algorithm, artifact, payload and runtime, never training.
"""
