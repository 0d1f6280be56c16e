"""Checks of texts: lengths, damage, repetition, control tokens, secrets, filters of web pages, languages.

Here: which rule a text fails; lists of patterns are YAML. Not here: whether a row is rejected for it, which
the plan says and the job does.
"""
