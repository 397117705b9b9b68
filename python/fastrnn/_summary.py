"""What a `Sequential` looks like: its line, its table as text, its table in a notebook."""

from __future__ import annotations

import html
from typing import Any

from .layers.base import Shape

_HEAD = ("Layer (type)", "Output shape", "Params")


def line(model: Any) -> str:
    """The model's repr."""
    count = len(model.layers)
    parts = [f"{count} layer{'' if count == 1 else 's'}"]
    if model.built:
        parts = [
            f"{_show(model.input_shape)} -> {_show(model.output_shape)}",
            *parts,
            f"{model.count_params():,} params",
        ]
    else:
        parts.append("not built")
    return f"<{type(model).__name__} {model.name!r}: {', '.join(parts)}>"


def text(model: Any) -> list[str]:
    """The lines of `Sequential.summary`."""
    rows = [_HEAD, *_rows(model)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    rule = "─" * len(lines[0])
    return [f"Model: {model.name}", rule, lines[0], rule, *lines[1:], rule, _totals(model)]


def table(model: Any) -> str:
    """The same as HTML."""

    def row(tag: str, cells: tuple[str, str, str]) -> str:
        left = "text-align: left"
        styles = (left, left, "text-align: right")
        made = (f'<{tag} style="{s}">{html.escape(c)}</{tag}>' for s, c in zip(styles, cells, strict=True))
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(row("td", cells) for cells in _rows(model))
    return (
        f"<table><caption>{html.escape(f'{type(model).__name__} {model.name!r}')}</caption>"
        f"<thead>{row('th', _HEAD)}</thead><tbody>{body}</tbody>"
        f'<tfoot><tr><td colspan="3">{html.escape(_totals(model))}</td></tr></tfoot></table>'
    )


def _rows(model: Any) -> list[tuple[str, str, str]]:
    rows = []
    shape = model.input_shape
    for layer in model.layers:
        shape = layer.compute_output_shape(shape) if shape is not None and layer.built else None
        params = f"{layer.count_params():,}" if layer.built else "unbuilt"
        rows.append((f"{layer.name} ({type(layer).__name__})", _show(shape), params))
    return rows


def _totals(model: Any) -> str:
    trainable = sum(p.size for p in model.trainable_weights)
    total = sum(p.size for p in model.parameters())
    return f"Total params: {total:,} (trainable {trainable:,}, frozen {total - trainable:,})"


def _show(shape: Shape | None) -> str:
    return "?" if shape is None else str(tuple(shape))
