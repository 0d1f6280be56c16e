"""The live page: what jobs are at, and the server that shows it.

`note` is a listener that leaves a job's state in `.forge/live.json`; `jobs` reads such files, `server` sends
them. Not here: asking a job anything; it knows nothing of the page.
"""
