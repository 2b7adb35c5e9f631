"""transform: predictions for whole files: reader, predictor, writer, journal.

May import inference, algorithm, artifact, payload, data and runtime.
"""
