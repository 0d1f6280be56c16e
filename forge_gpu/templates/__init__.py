"""From records to texts: chat templates become programs, and shapes and forms say what is rendered.

Here: `shapes`, `forms`, Jinja's environment, `tracing`, code for the machine (`vm`), whose turn a text is
(`turns`). Not here: files, plans, and what becomes of a row that is refused.
"""
