"""What `fit`, `evaluate` and `predict` do: batches from data, steps, epochs."""
