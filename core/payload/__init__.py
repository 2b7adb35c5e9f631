"""payload: how requests and answers are packed on their way.

May import numpy, the errors and the types of core; nothing of algorithms, training or serving.
"""
