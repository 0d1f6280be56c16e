"""What a job takes at most: memory by input and budget, time by what it grows in."""
