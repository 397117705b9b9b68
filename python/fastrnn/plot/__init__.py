"""Pictures of training and of what goes on inside, by matplotlib: ``pip install 'fastrnn[plot]'``.

Each function draws into the Axes that it is given, or into new ones, and returns them; `activations`,
`gradient_norms` and `state_gradient_norms` give the numbers behind some of the pictures and need no matplotlib.
"""

from .curves import learning_curves
from .drawing import model
from .inside import activations, gradient_norms, state_gradient_norms
from .maps import activation_map, activation_maps, gradient_flow
from .results import confusion_matrix, forecast

__all__ = [
    "activation_map",
    "activation_maps",
    "activations",
    "confusion_matrix",
    "forecast",
    "gradient_flow",
    "gradient_norms",
    "learning_curves",
    "model",
    "state_gradient_norms",
]
