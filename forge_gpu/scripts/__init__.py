"""Scripts made from a plan, and transform scripts looked at, tried and written."""
