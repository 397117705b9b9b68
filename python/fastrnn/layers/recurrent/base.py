"""What the recurrent layers share: arguments and options, masks, states, and the calls of the functions.

Their weights and Keras' layout of them are in `weights`, masks in `masking`, activations in `activation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ... import _packed, _threads
from ..._core import PackedWeights
from ..._hints import unknown_keyword
from ..._registry import positive
from ..._typing import Array, Config, Identifier
from ...functional._cells import CELLS
from ...functional._options import Cell
from ...initializers import Initializer
from ...initializers import get as get_initializer
from ..base import Shape, check_flag, check_number, check_rate, check_size
from ..draws import StepSeeds
from .activation import check_activation, native_activation
from .masking import MaskPlan, check_mask, plan_mask
from .weights import RecurrentWeights

__all__ = ["Init", "Recurrent", "States", "zero_rows"]

Init = Identifier | Initializer | type[Initializer]
States = tuple[Array, ...]


def _limit(value: Any, argument: str) -> float | None:
    return None if value is None else positive(argument, value)


def _count(value: Any, argument: str) -> int | None:
    return None if value is None else check_size(value, argument)


# The options of the functions which the layers take under the same names: default and check. Which of them a cell has
# is in functional/. `layer_norm` is an option of the cells that take the weights which it creates.
_OPTIONS: dict[str, tuple[Any, Callable[[Any, str], Any]]] = {
    "dropout": (0.0, check_rate),
    "recurrent_dropout": (0.0, check_rate),
    "candidate_dropout": (0.0, check_rate),
    "zoneout_h": (0.0, check_rate),
    "zoneout_c": (0.0, check_rate),
    "weight_dropout": (0.0, check_rate),
    "clip": (None, _limit),
    "cell_clip": (None, _limit),
    "proj_clip": (None, _limit),
    "zero_output_for_mask": (False, check_flag),
    "truncate": (None, _count),
    "checkpoint_every": (None, _count),
    "layer_norm": (False, check_flag),
    "norm_eps": (None, _limit),
    "forget_bias": (0.0, check_number),
}
_RANDOM = ("dropout", "recurrent_dropout", "candidate_dropout", "zoneout_h", "zoneout_c", "weight_dropout")


class _Cache(NamedTuple):
    native: Any
    zero_rows: Array | None


class Recurrent(RecurrentWeights):
    """Base class of the recurrent layers; see `LSTM` for the arguments.

    A subclass gives the constants below, `build` for weights of its own and `_cell_options` for settings of its own.
    """

    cell: ClassVar[str]  # the name of its cell in `fastrnn.functional`
    activation_names: ClassVar[tuple[str, ...]] = ()  # its arguments, and attributes, that are activations
    zero_output_for_mask: bool
    layer_norm: bool = False

    def __init__(
        self,
        units: int,
        *,
        use_bias: bool = True,
        kernel_initializer: Init = "glorot_uniform",
        recurrent_initializer: Init = "orthogonal",
        bias_initializer: Init = "zeros",
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        learned_initial_state: bool = False,
        **kwargs: Any,
    ) -> None:
        known = self._keywords()
        for name in kwargs:
            if name not in known:
                raise unknown_keyword(type(self).__name__, name, known)
        options = {name: kwargs.pop(name, _OPTIONS[name][0]) for name in self._option_names()}
        super().__init__(**kwargs)
        for name, value in options.items():
            setattr(self, name, _OPTIONS[name][1](value, name))
        if options.get("norm_eps") is not None and not self.layer_norm:
            raise ValueError(f"norm_eps: expected None without layer_norm, got {options['norm_eps']}")
        self.units = check_size(units, "units")
        self.use_bias = check_flag(use_bias, "use_bias")
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.recurrent_initializer = get_initializer(recurrent_initializer)
        self.bias_initializer = get_initializer(bias_initializer)
        self.seed = seed
        self.return_sequences = check_flag(return_sequences, "return_sequences")
        self.return_state = check_flag(return_state, "return_state")
        self.go_backwards = check_flag(go_backwards, "go_backwards")
        self.stateful = check_flag(stateful, "stateful")
        self.learned_initial_state = check_flag(learned_initial_state, "learned_initial_state")
        self._begins_learned = False  # whether the last run began with the learned states
        self.states: States | None = None
        self.initial_state_gradients: States | None = None
        self._seeds = StepSeeds(seed) if any(options.get(name) for name in _RANDOM) else None

    @property
    def functions(self) -> Cell:
        """The functions of its cell."""
        return CELLS[self.cell]

    @property
    def state_names(self) -> tuple[str, ...]:
        """The names of the cell's initial states, h0 first."""
        return self.functions.states

    @classmethod
    def _option_names(cls) -> list[str]:
        known = CELLS[cls.cell].weights | CELLS[cls.cell].run
        return [name for name in _OPTIONS if {"layer_norm": "ln_hh"}.get(name, name) in known]

    @classmethod
    def _keywords(cls) -> list[str]:
        return sorted({*super()._keywords(), *cls._option_names()})

    # -- states ----------------------------------------------------------------------------------------------------

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs (B, T, I)."""
        super().build(input_shape)
        if self.learned_initial_state:
            for name, (_, width) in zip(self.state_names, self.state_shapes(1), strict=True):
                self._state_weight(name, width)

    @property
    def state_count(self) -> int:
        """How many states the cell has."""
        return len(self.state_names)

    def state_shapes(self, batch: int) -> list[tuple[int, int]]:
        """Those of the states of a batch: (B, P) and, of the others, (B, H)."""
        return [(batch, self.output_units if name == "h0" else self.units) for name in self.state_names]

    def reset_states(self, states: Sequence[Any] | None = None) -> None:
        """Forget what a stateful layer carries from batch to batch, or set it to `states`, arrays (B, H)."""
        self.states = None
        if states is not None:
            arrays = tuple(self.cast(s, "states").copy() for s in states)
            shapes = self.state_shapes(len(arrays[0]) if arrays and arrays[0].ndim else 0)
            if [a.shape for a in arrays] != shapes:
                expected = f"{self.state_count} arrays of shape {', '.join(f'(B, {s[1]})' for s in shapes)}"
                raise ValueError(f"states: expected {expected}, got {[a.shape for a in arrays]}")
            self.states = arrays

    reset_state = reset_states

    def check_states(self, states: Any, batch: int) -> States:
        """Return `initial_state` as a tuple of arrays (B, H), the first (B, P), of the layer's dtype."""
        if isinstance(states, np.ndarray) and states.ndim == 2:
            states = (states,)
        if len(states) != self.state_count:
            raise ValueError(f"initial_state: expected {self.state_count} arrays for {self.name}, got {len(states)}")
        arrays = tuple(self.cast(s, "initial_state") for s in states)
        for index, (array, shape) in enumerate(zip(arrays, self.state_shapes(batch), strict=True)):
            if array.shape != shape:
                raise ValueError(f"initial_state[{index}]: expected shape {shape}, got {array.shape}")
        return arrays

    # -- computing -------------------------------------------------------------------------------------------------

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, T, P) with `return_sequences`, else (B, P)."""
        batch, steps, _ = input_shape
        return (batch, steps, self.output_units) if self.return_sequences else (batch, self.output_units)

    def compute_mask(self, x: Array, mask: Array | None) -> Array | None:
        """The mask of the input, reversed with the output when `go_backwards`; None without `return_sequences`."""
        if mask is None or not self.return_sequences:
            return None
        return mask[:, ::-1] if self.go_backwards else mask

    def __call__(
        self, x: Any, mask: Any = None, training: bool = False, initial_state: Any = None, reset_mask: Any = None
    ) -> Any:
        """Run the layer on x (B, T, I).

        Args:
            x: sequences.
            mask: booleans (B, T), False where a step is to be skipped.
            training: apply what is for training only (dropout and the like) and keep what `backward` needs.
            initial_state: h (B, P), or all states of the cell (the LSTM's h and c), the others (B, H); zeros (or the
                carried state) when None.
            reset_mask: booleans (B, T), True where a new sequence begins, with a state of zero before it; not beside a
                mask with holes.

        Returns:
            y: (B, T, P) with `return_sequences`, else the last output (B, P). With `return_state` a tuple of it and
            the final states.
        """
        array = self.cast(x)
        self.ensure_built(array.shape)
        states = None if initial_state is None else self.check_states(initial_state, array.shape[0])
        resets = check_mask(reset_mask, array, "reset_mask")
        output, last = self.run(array, check_mask(mask, array), training, states, resets)
        y = self._arrange(output)
        return (y, *last) if self.return_state else y

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """The output alone, whatever `return_state` says."""
        return self._arrange(self.run(x, mask, training, None)[0])

    def _arrange(self, output: Array) -> Array:
        """Turn a sequence between the order of time and that of the layer's output."""
        return output[:, ::-1] if self.return_sequences and self.go_backwards else output

    def run(
        self, x: Array, mask: Array | None, training: bool, states: States | None, resets: Array | None = None
    ) -> tuple[Array, States]:
        """Return the output, (B, T, P) always in the order of time, or (B, P), and the final states."""
        states = self.first_states(len(x), states)
        plan = self.plan_mask(mask)
        result = self.functions.forward(
            x,
            **self._weights(training),
            **dict(zip(self.state_names, [s[np.newaxis] for s in states or ()], strict=bool(states))),
            **self.run_options(training),
            **plan.options,
            reset_mask=resets,
            reverse=self.go_backwards,
            batch_first=True,
            training=training,
            threads=_threads.wanted(),
        )
        last = tuple(state[0] for state in result[1 : 1 + self.state_count])
        self._cache = _Cache(result[-1], plan.zero_rows) if training else None
        if self.stateful:
            self.states = last
        return (result[0] if self.return_sequences else zero_rows(last[0], plan.zero_rows)), last

    def first_states(self, batch: int, states: States | None) -> States | None:
        """Return those before the first step: the given ones, else what a stateful layer carries, else the learned
        ones; None for zeros."""
        self._begins_learned = False
        if states is not None:
            return states
        if not self.stateful or self.states is None:
            self._begins_learned = bool(self._initial)
            return tuple(np.tile(p.value, (batch, 1)) for p in self._initial.values()) or None
        if len(self.states[0]) != batch:
            raise ValueError(
                f"x: expected a batch of {len(self.states[0])} for the stateful layer {self.name}, got {batch}; "
                "reset_states() forgets the sequences before"
            )
        return self.states

    def plan_mask(self, mask: Array | None) -> MaskPlan:
        """Return how a mask reaches the kernels."""
        return plan_mask(
            mask,
            sequences=self.return_sequences,
            backwards=self.go_backwards,
            zero_output=self.zero_output_for_mask,
        )

    def _weights(self, training: bool) -> dict[str, Any]:
        """The weights and their options, as <cell>_forward takes them: packed, once an evaluation, but in training."""
        if not training:
            return {"w_ih": _packed.packed(self, self.pack)}
        return {**{name: parameter.value for name, parameter in self._native.items()}, **self.weight_options()}

    def pack(self) -> PackedWeights:
        """Return the weights with the options of the cell, as inference has them."""
        weights = {name: parameter.value for name, parameter in self._native.items()}
        options = self.weight_options()
        options.pop("weight_dropout", None)  # acts in training alone
        packed: PackedWeights = self.functions.pack(**weights, **options)
        return packed

    @property
    def draws(self) -> bool:
        """Whether training draws random masks."""
        return self._seeds is not None

    def _set_activations(self, *activations: Any) -> None:
        """Check the activations of the cell and keep them, in the order of `activation_names`."""
        for name, activation in zip(self.activation_names, activations, strict=True):
            setattr(self, name, check_activation(activation, name))

    def _cell_options(self) -> Config:
        """The settings of the cell, as <cell>_forward takes them."""
        return {name: native_activation(getattr(self, name)) for name in self.activation_names}

    def _options(self, names: frozenset[str]) -> Config:
        """Those of `names` which the layer sets."""
        return {name: value for name in names.intersection(_OPTIONS) if (value := getattr(self, name))}

    def weight_options(self) -> Config:
        """The options of the weights, as <cell>_forward and pack_<cell> take them."""
        return {**self._cell_options(), **self._options(CELLS[self.cell].weights)}

    def run_options(self, training: bool) -> Config:
        """The options of a run, as <cell>_forward takes them, but for the mask's."""
        if not training:
            return {}
        options = self._options(CELLS[self.cell].run - {"zero_output_for_mask"})
        if self._seeds is not None:
            options["seed"] = self._seeds.next()
        return options

    def backward(self, dy: Array | None, dstates: Sequence[Array | None] | None = None) -> Array:
        """Store the gradients and return that of x (B, T, I); `initial_state_gradients` holds those of the states.

        Args:
            dy: gradient of the output, in its shape; None is zero.
            dstates: gradients of the returned final states, each in its shape or None.
        """
        return self.run_backward(None if dy is None else self._arrange(dy), dstates)

    def backward_weights(self, dy: Array) -> None:
        """See `Layer.backward_weights`."""
        self.run_backward(self._arrange(dy), need_dx=False)

    def run_backward(
        self, dy: Array | None, dstates: Sequence[Array | None] | None = None, need_dx: bool = True
    ) -> Array:
        """The backward pass of `run`, dy in the shape and order of its output; None without `need_dx`."""
        cache: _Cache = self._take_cache()
        final = list(dstates) if dstates is not None else [None] * self.state_count
        if dy is not None and not self.return_sequences:
            dh = zero_rows(dy, cache.zero_rows)
            dy, final[0] = None, dh if final[0] is None else final[0] + dh
        grads = self.functions.backward(
            dy,
            cache.native,
            *(None if d is None else np.ascontiguousarray(d)[np.newaxis] for d in final),
            need_dx=need_dx,
            threads=_threads.wanted(),
        )
        states = tuple(getattr(grads, name)[0] for name in self.state_names)
        self.take_gradients({name: getattr(grads, name) for name in self._native}, states)
        dx: Array = grads.x
        return dx

    def take_gradients(self, parameters: Mapping[str, Array], states: States) -> None:
        """Store the gradients of the weights, by the names of the functions' arguments, and of the first states."""
        for name, parameter in self._native.items():
            parameter.grad = parameters[name]
        for parameter, state in zip(self._initial.values(), states, strict=bool(self._initial)):
            parameter.grad = state.sum(axis=0) if self._begins_learned else np.zeros_like(parameter.value)
        self.initial_state_gradients = states

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def get_training_state(self) -> dict[str, Any]:
        """Seed and step of the masks, and what a stateful layer carries."""
        state: dict[str, Any] = {} if self._seeds is None else {"seeds": self._seeds.get_state()}
        if self.stateful and self.states is not None:
            state["states"] = list(self.states)
        return state

    def set_training_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        if self._seeds is not None:
            self._seeds.set_state(state["seeds"])
        self.states = tuple(state["states"]) if "states" in state else None

    # -- config ----------------------------------------------------------------------------------------------------

    def get_config(self) -> Config:
        """The constructor's arguments."""
        return {**super().get_config(), **{name: getattr(self, name) for name in self._option_names()}}


def zero_rows(output: Array, rows: Array | None) -> Array:
    """Return the last outputs (B, P), or their gradients, with zeros where `rows` (B, 1) is True."""
    return output if rows is None else np.where(rows, output.dtype.type(0), output)
