"""Where rows go: a module for each format of the output, what they share, and the registry."""
