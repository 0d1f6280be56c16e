"""Rows of tokens in packs of a bounded length: which pack each row is in, and how rows become packs."""
