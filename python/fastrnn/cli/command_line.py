"""The command ``fastrnn``, or ``python -m fastrnn``: the parser, and who does what it says."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from .._core import version
from . import completion, convert, demo, info, inspect_file, latency, predict, serve, train, verify
from ._console import Parser, one_line

# Each module is a command: HELP, DESCRIPTION and EXAMPLES are texts, add_arguments(parser) and command(options) do it.
COMMANDS: dict[str, Any] = {
    "info": info,
    "demo": demo,
    "train": train,
    "predict": predict,
    "inspect": inspect_file,
    "convert": convert,
    "verify": verify,
    "latency": latency,
    "serve": serve,
    "completion": completion,
}
EPILOG = """'fastrnn COMMAND --help' tells the options of a command, with examples.

exit status: 0 done, 1 two models differ (verify), 2 an error, which stands on stderr in one line, 130 interrupted."""


def parser() -> Parser:
    """Return the command line's parser."""
    main = Parser(
        prog="fastrnn",
        description="Recurrent neural networks at the speed of the hardware.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    main.add_argument("--version", action="version", version=f"fastrnn {version}")
    main.add_argument("--cmake-dir", action=_CMakeDir, help="print the folder of the CMake package, and exit")
    commands = main.add_subparsers(dest="command", metavar="COMMAND")
    for name, module in COMMANDS.items():
        one = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(one)
        one.set_defaults(parser=one)
        one.add_argument("--verbose", action="store_true", help="show where an error comes from")
    return main


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status.

    Args:
        argv: arguments without the program's name; `sys.argv` when None.

    Returns:
        0, or another number for an error, which stands on stderr.
    """
    known, unknown = parser().parse_known_args(argv)
    options = vars(known)
    command, own = options.pop("command"), options.pop("parser", None)
    if unknown:
        (own or parser()).refuse(unknown)
    if command is None:
        parser().print_help(sys.stderr)
        return 2
    verbose = options.pop("verbose")
    try:
        status = int(COMMANDS[command].command(options))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the pipe, such as `head`, is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, ImportError) as error:
        if verbose:
            traceback.print_exc()
        print(f"fastrnn {command}: error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return status


class _CMakeDir(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        from ..system import cmake_dir

        try:
            print(cmake_dir())
        except FileNotFoundError as error:
            parser.exit(1, f"{parser.prog}: error: {error}\n")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
