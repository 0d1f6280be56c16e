"""A prepared folder, put on the hub."""
