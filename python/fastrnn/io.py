"""Saving and loading, by the name that people import: see `fastrnn.saving`."""

from .saving import load_model, save_layers, save_model

__all__ = ["load_model", "save_layers", "save_model"]
