"""What lasts between two runs: the job's key, index files, decisions, tables of tokens, in `.forge/`.

A killed run cuts its outputs to the sizes of the last note and goes on. The key is of sources, settings,
template, limit and version: any difference starts anew. All that is read back has a checksum. Not here: the
outputs.
"""
