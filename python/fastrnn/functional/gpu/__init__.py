"""The functions on a GPU: arrays that are there, and calls that go there."""
