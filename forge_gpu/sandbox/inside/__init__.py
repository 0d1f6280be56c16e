"""The program of the sandboxed process. It needs the standard library alone."""
