"""What is run once for a change, not at every commit: too long for the tests. One script a subject."""
