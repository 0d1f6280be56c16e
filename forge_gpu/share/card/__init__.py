"""The card of a data set: README.md, whose YAML the hub and `datasets` read, and whose text people read."""
