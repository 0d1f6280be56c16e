"""What was prepared, for others: a card, a hub, trackers of experiments, and two preparations compared."""
