"""What every part of core may use, whatever it is about: archives, and what else is of the machine.

It imports of core nothing but the errors.
"""
