from typing import Any

from numpy.typing import NDArray

version: str
compiler: str
flags: str

class PackedWeights:
    @property
    def cell(self) -> str: ...
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def output_size(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    @property
    def fast_activations(self) -> bool: ...
    @property
    def isa(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def options(self) -> dict[str, Any]: ...

class PackedMatrix: ...

class Cache:
    @property
    def weights(self) -> PackedWeights: ...
    @property
    def cell(self) -> str: ...
    @property
    def batch(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

class Session:
    def __init__(self, weights: PackedWeights, batch: int = 1) -> None: ...
    def step(self, x: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]: ...
    def run(self, x: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]: ...
    def reset(self) -> None: ...
    state: Any
    @property
    def weights(self) -> PackedWeights: ...
    @property
    def batch(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

def available_isas() -> list[str]: ...
def current_isa() -> str: ...
def num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def set_isa(name: str) -> None: ...
def activate(activation: str, x: NDArray[Any], fast: bool = False) -> NDArray[Any]: ...
def pack_matrix(b: NDArray[Any]) -> PackedMatrix: ...
def matmul(a: NDArray[Any], b: NDArray[Any] | PackedMatrix, out: NDArray[Any] | None = None) -> NDArray[Any]: ...
def pack(
    cell: str,
    parameters: dict[str, Any],
    options: dict[str, Any],
    *,
    dtype: Any = None,
    fast_activations: bool = False,
    x: Any = None,
) -> PackedWeights: ...
def forward(
    weights: PackedWeights,
    x: Any,
    h0: Any = None,
    c0: Any = None,
    lengths: Any = None,
    reverse: bool = False,
    batch_first: bool = False,
    training: bool = False,
    out: Any = None,
    threads: int | None = None,
    run: dict[str, Any] | None = None,
) -> tuple[NDArray[Any], NDArray[Any], Any, Any]: ...  # y, h_n, c_n or None, Cache or None
def backward(
    dy: Any, cache: Cache, dh_n: Any = None, dc_n: Any = None, *, need_dx: bool = True, threads: int | None = None
) -> tuple[Any, NDArray[Any], Any, dict[str, NDArray[Any]]]: ...  # dx or None, dh0, dc0 or None, the parameters

class StackCache:
    @property
    def layers(self) -> list[list[PackedWeights]]: ...
    @property
    def nbytes(self) -> int: ...

def stack_forward(
    layers: list[list[PackedWeights]],
    x: Any,
    h0: Any = None,
    c0: Any = None,
    lengths: Any = None,
    batch_first: bool = False,
    training: bool = False,
    out: Any = None,
    threads: int | None = None,
    run: dict[str, Any] | None = None,
    merge: str = "concat",
    dropout: float = 0.0,
) -> tuple[NDArray[Any], NDArray[Any], Any, Any]: ...  # y, h_n, c_n or None, StackCache or None
def stack_backward(
    dy: Any, cache: StackCache, dh_n: Any = None, dc_n: Any = None, *, need_dx: bool = True, threads: int | None = None
) -> tuple[Any, NDArray[Any], Any, list[list[dict[str, NDArray[Any]]]]]: ...  # dx or None, dh0, dc0 or None, parameters
