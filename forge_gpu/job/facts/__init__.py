"""What is known of a row: each fact is declared once, and index, decisions, ledger and its page iterate.

A fact is a file here and a line in `registry.py`.
"""
