"""``python -m fastrnn``: what is there (`info`), what it does (`demo`), how long a step takes (`latency`)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from .._core import version
from .latency import add_arguments as add_latency_arguments


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    main = argparse.ArgumentParser(
        prog="fastrnn",
        description="Recurrent neural networks at the speed of the hardware.",
        epilog="'fastrnn COMMAND --help' tells the options of a command.",
    )
    main.add_argument("--version", action="version", version=f"fastrnn {version}")
    main.add_argument("--cmake-dir", action=_CMakeDir, help="print the folder of the CMake package, and exit")
    commands = main.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("info", help="show version, instruction set and build", description="Show fastrnn.info().")
    demo = commands.add_parser(
        "demo",
        help="train a small character language model, half a minute, nothing is downloaded",
        description="Train an LSTM on Python's own help texts, report perplexity on held-out text and the speed of "
        "training, save the model with its vocabulary, and print a sample of what it writes; or, with --sample, print "
        "a sample of a model saved before.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.add_argument("--epochs", type=_at_least_1, default=3, help="passes over the text")
    demo.add_argument("--units", type=_at_least_1, default=128, help="size of the LSTM")
    demo.add_argument("--seconds", type=float, default=None, help="stop training after this long")
    demo.add_argument("--characters", type=_at_least_1, default=None, help="use only so much of the text")
    demo.add_argument("--out", default="fastrnn-demo.npz", help="file to save the model in")
    demo.add_argument("--seed", type=int, default=0, help="the same seed gives the same model")
    demo.add_argument("--sample", metavar="FILE", default=None, help="train nothing; write text from this file's model")
    demo.add_argument("--prompt", default="The ", help="what the sample goes on from")
    demo.add_argument("--quiet", action="store_true", help="show no progress")
    latency = commands.add_parser(
        "latency",
        help="time single steps: median, tail, histogram, about two minutes",
        description="Time single steps of stacked LSTMs: cold first call, p50, p99, p99.9, max and histograms.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_latency_arguments(latency)
    return main


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status.

    Args:
        argv: arguments without the program's name; `sys.argv` when None.

    Returns:
        0, or another number for an error, which stands on stderr.
    """
    options = vars(parser().parse_args(argv))
    command = options.pop("command")
    if command is None:
        parser().print_help(sys.stderr)
        return 2
    if command == "latency":
        return _latency(options)
    return _info() if command == "info" else _demo(**options)


def _latency(options: dict[str, Any]) -> int:
    from . import latency

    try:
        return latency.run(options)
    except (ValueError, ImportError) as error:
        print(f"fastrnn latency: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


class _CMakeDir(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        from ..system import cmake_dir

        try:
            print(cmake_dir())
        except FileNotFoundError as error:
            parser.exit(1, f"{parser.prog}: error: {error}\n")
        parser.exit()


def _info() -> int:
    import fastrnn

    for name, value in fastrnn.info().items():
        print(f"{name}: {', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}")
    return 0


def _demo(quiet: bool, sample: str | None, **options: Any) -> int:
    from . import demo

    try:
        if sample is not None:
            print(demo.sample(sample, options["prompt"], seed=options["seed"]))
        else:
            demo.run(verbose=0 if quiet else 1, **options)
    except (ValueError, OSError, ImportError) as error:
        print(f"fastrnn demo: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _at_least_1(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number >= 1, got {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
