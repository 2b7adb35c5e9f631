"""web: the review app, in which a person types a text, reads the model's verdict, and corrects it.

Its handler and its corrections are carried into AWS Lambda: they import the standard library and
``core.container.events`` alone.
"""
