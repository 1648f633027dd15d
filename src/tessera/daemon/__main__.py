# SPDX-License-Identifier: Apache-2.0
"""`python -m tessera.daemon`, which is what `tessera daemon` and the systemd unit run."""

from __future__ import annotations

import argparse
import json
import os
import sys

from tessera.daemon import logs, server
from tessera.daemon.settings import Settings
from tessera.model.errors import TesseraError


def main(arguments: list[str] | None = None) -> int:
    """The exit code of the daemon; errors go to stderr with what to do next."""
    parser = argparse.ArgumentParser(prog="tesserad", description="The Tessera host daemon.")
    parser.add_argument("--group", help="let the members of this group use the daemon")
    parser.add_argument("--idle-exit", type=float, metavar="SECONDS", help="end when unused")
    parser.add_argument("--ready-fd", type=int, metavar="FD", help="write a line here when ready")
    parser.add_argument("--detach", action="store_true", help="leave the caller at once")
    options = parser.parse_args(arguments)
    if options.detach and os.fork() > 0:
        os._exit(0)
    logs.configure()
    try:
        server.run(Settings.read(options.group, options.idle_exit), options.ready_fd)
    except TesseraError as error:
        if options.ready_fd is not None:
            os.write(options.ready_fd, json.dumps(error.to_wire()).encode())
        print(f"tesserad: {error.message}\n{error.hint}".strip(), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
