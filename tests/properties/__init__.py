"""The properties of the design, one a file."""
