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
    def dtype(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def options(self) -> dict[str, Any]: ...

class Cache:
    @property
    def weights(self) -> PackedWeights: ...
    @property
    def cell(self) -> str: ...
    @property
    def nbytes(self) -> int: ...

def available_isas() -> list[str]: ...
def current_isa() -> str: ...
def set_isa(name: str) -> None: ...
def activate(activation: str, x: NDArray[Any]) -> NDArray[Any]: ...
def matmul(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]: ...
def pack(
    cell: str,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    *,
    w_peep: Any = None,
    activation: str = "tanh",
    peephole_output: str = "current",
    coupled: bool = False,
    reset: str = "after",
    dtype: str | None = None,
    x: Any = None,
) -> PackedWeights: ...
def forward(
    weights: PackedWeights,
    x: Any,
    h0: Any = None,
    c0: Any = None,
    *,
    lengths: Any = None,
    reverse: bool = False,
    batch_first: bool = False,
    training: bool = False,
    out: Any = None,
) -> tuple[NDArray[Any], NDArray[Any], Any, Any]: ...  # y, h_n, c_n or None, Cache or None
def backward(dy: Any, cache: Cache, dh_n: Any = None, dc_n: Any = None) -> tuple[Any, ...]: ...
