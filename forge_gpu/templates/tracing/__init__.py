"""A template run on stand-ins for texts, which gives a program for all rows that answer alike.

Here: the operations that a stand-in notes. Not here: what has no such form; `vm` runs that, or Jinja does.
"""
