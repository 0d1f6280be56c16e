"""Attacks as tests: a disk that fails, a process that is killed, files that a stranger made."""
