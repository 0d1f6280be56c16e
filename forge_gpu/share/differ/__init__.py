"""Two prepared folders compared: settings, splits, rows by their place, and texts wherever they are."""
