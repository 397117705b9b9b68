"""Calls that run on a GPU, and the arrays in its memory."""
