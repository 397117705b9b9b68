"""Tests, in folders that mirror the product; `tests.support` is what they share."""
