"""The models: pixels -> maps -> logits."""
