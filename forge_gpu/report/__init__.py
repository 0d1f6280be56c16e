"""What others see of a job: its page, logs, metrics, history, notebook; `live` has the live page.

Here: readers of events, manifest and ledger. Not here: anything that the job waits for or that changes a
byte of its output.
"""
