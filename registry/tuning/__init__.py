"""tuning: many trainings of one algorithm, to find hyperparameters that serve it better.

May import core and the rest of registry but the command line. Optuna (extra ``tune``) is imported
in study.py alone.
"""
