"""Other people's Python over rows, in a process to which files, processes and networks are closed.

`layers` says what this machine can close, `sandbox` runs the process, `inside` is the program in it,
`transform` gives rows and takes what came of them.
"""
