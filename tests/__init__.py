"""Imported from the root of the repository, as `tests.room.module`."""
