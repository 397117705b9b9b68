"""``fastrnn completion SHELL``: a script that completes commands and options in bash, zsh or fish."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

HELP = "print a script that completes commands and options in a shell"
DESCRIPTION = "Print a script for bash, zsh or fish that completes fastrnn's commands, their options and file names."
EXAMPLES = """examples:
  eval "$(fastrnn completion bash)"                                       in ~/.bashrc
  eval "$(fastrnn completion zsh)"                                        in ~/.zshrc
  fastrnn completion fish > ~/.config/fish/completions/fastrnn.fish

exit status: 0."""
SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("shell", choices=SHELLS)


def command(options: dict[str, Any]) -> int:
    """Print; return the exit status."""
    from .command_line import parser

    words = {name: sorted(_words(sub)) for name, sub in _commands(parser())}
    helps = {name: sub.description or "" for name, sub in _commands(parser())}
    shell = options["shell"]
    print(_fish(words, helps) if shell == "fish" else _bash(words, zsh=shell == "zsh"))
    return 0


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _words(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The options, and what a positional argument can be."""
    for action in parser._actions:
        yield from (option for option in action.option_strings if option.startswith("--"))
        if not action.option_strings and action.choices:
            yield from map(str, action.choices)


def _bash(words: dict[str, list[str]], *, zsh: bool) -> str:
    cases = "\n".join(f'    {name}) words="{" ".join(options)}" ;;' for name, options in words.items())
    lines = [
        "_fastrnn() {",
        '  local current="${COMP_WORDS[COMP_CWORD]}" words',
        '  case "${COMP_WORDS[1]}" in',
        cases,
        f'    *) words="{" ".join(words)} --help --version --cmake-dir" ;;',
        "  esac",
        '  [ "$COMP_CWORD" -eq 1 ] && ' + f'words="{" ".join(words)} --help --version --cmake-dir"',
        '  COMPREPLY=( $(compgen -W "$words" -- "$current") )',
        '  case "$current" in -*) ;; *) [ "$COMP_CWORD" -gt 1 ] && COMPREPLY+=( $(compgen -f -- "$current") ) ;; esac',
        "}",
        "complete -o filenames -F _fastrnn fastrnn",
    ]
    return "\n".join(["autoload -U +X bashcompinit && bashcompinit", *lines] if zsh else lines)


def _fish(words: dict[str, list[str]], helps: dict[str, str]) -> str:
    lines = []
    for name, options in words.items():
        about = helps[name].split(".")[0].replace("'", "")
        lines.append(f"complete -c fastrnn -n __fish_use_subcommand -f -a {name} -d '{about}'")
        condition = f"'__fish_seen_subcommand_from {name}'"
        for option in options:
            flag = f"-l {option[2:]}" if option.startswith("--") else f"-a {option}"
            lines.append(f"complete -c fastrnn -n {condition} {flag}")
    return "\n".join(lines)
