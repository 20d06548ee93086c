"""A model -> what other programs run."""
