"""Settings chosen by what Forge can measure itself, on a part of the data."""
