"""Saving and loading, by the name that people import: see `fastrnn.saving`."""

from .saving import check_path, load_model, load_weights, save_layers, save_model, save_weights

__all__ = ["check_path", "load_model", "load_weights", "save_layers", "save_model", "save_weights"]
