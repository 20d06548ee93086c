"""TF Serving's interfaces for local use; imports nothing of this package's other rooms."""
