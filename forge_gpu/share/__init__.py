"""What was prepared, for others: a card, the hub, trackers, two preparations compared.

Here: whatever takes a prepared folder elsewhere, and reading one (`prepared`). Not here: making or changing
its files.
"""
