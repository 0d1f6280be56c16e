"""Trackers of experiments: what a job was asked, and what came out, where others look for it."""
