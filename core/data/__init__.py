"""What examples come from: pictures, files and tables, read within bounds and named where wrong.

May import core's errors and types; nothing here knows of requests, models or training.
"""
