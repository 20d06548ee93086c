"""What a run leaves for people: the report, its page, charts and pictures; TensorBoard."""
