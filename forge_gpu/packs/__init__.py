"""Rows of tokens in packs of a bounded length: which pack each row is in, and how rows become packs.

Here: bins over lengths (`places`), and the sink before a format's sink (`sink`). Not here: formats, which
know nothing of packs.
"""
