"""Saving and loading models and layers."""

from .files import load_model, save_layers, save_model

__all__ = ["load_model", "save_layers", "save_model"]
