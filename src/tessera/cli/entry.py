# SPDX-License-Identifier: Apache-2.0
"""Where the `tessera` command begins: `run` on its fast path, the rest through Typer."""

from __future__ import annotations

import sys


def main() -> None:
    """Ends the process with the command's exit code."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] == "run":
        from tessera.cli import run

        # None: a form that the fast path does not know, such as --help or an unknown flag.
        options = run.parse(arguments[1:])
        if options is not None:
            sys.exit(run.main(options))
        sys.argv[2:] = run.with_wait_limit(arguments[1:])
    from tessera.cli.app import main as typer_main

    typer_main()
