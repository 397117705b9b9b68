"""Saving and loading models and layers."""

from .files import check_path, load_model, load_weights, save_layers, save_model, save_weights

__all__ = ["check_path", "load_model", "load_weights", "save_layers", "save_model", "save_weights"]
