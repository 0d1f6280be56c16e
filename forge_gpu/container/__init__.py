"""A job in a container: chosen by GPU architecture, run without rights, told by its events."""
