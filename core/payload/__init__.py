"""What requests and answers are made of, and what they may cost.

May import numpy, the errors and the types of core; nothing of algorithms, training or serving.
"""
