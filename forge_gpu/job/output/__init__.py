"""What a job leaves: the outputs, the ledger, the manifest, and reading all of it back.

Outputs go in the order of the input to a sink of the plan's format, or for a shuffle first to buckets by
rank (`shuffle`). Before a job reads, `output_guard` looks for files of others, and `space` for room. Not
here: how a format writes its files (`io.sinks`).
"""
