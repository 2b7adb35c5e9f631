"""tuning: train one algorithm many times to find better hyperparameters.

May import core and registry except the command line. Optuna (extra ``tune``) is imported only in
study.py.
"""
