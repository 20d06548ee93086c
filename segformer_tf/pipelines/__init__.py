"""Picture in, answer out."""
