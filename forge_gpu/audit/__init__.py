"""What data is before a plan is made of it, and whether an output folder is what it says of itself."""
