"""Whose turn each part of a rendered text is: the spans that are trained.

Here: beginnings and ends of turns, as the template's own loops tell them. Not here: token ids.
"""
