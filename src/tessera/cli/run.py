# SPDX-License-Identifier: Apache-2.0
"""`tessera run`: gets a lease and becomes the workload.

The command asks the daemon for a lease that names its own pid as holder, and then replaces itself with
the program (execve). So nothing stands between the shell and the workload: signals of every kind, job
control, the terminal, limits and the exit status are the program's own, and killing "tessera run" in any
way is killing the program. A parent process that forwards signals was refused: it cannot tell a Ctrl-C,
which the terminal already sent to the whole group, from one that was sent to it alone; it cannot forward
KILL or STOP; and it stays in memory for the whole run.

Who releases the lease, then? The daemon, which watches the holder by pidfd and learns of its end at once,
however it comes. Every request to the daemon first takes in what already ended, so a second `tessera run`
in the next line of a script finds the memory free. If the daemon is gone at that moment, the next one
finds the holder gone and releases the lease.

The time from here to the program's first instruction is Tessera's cost for short programs. Hence the
import rule of this file: os, sys, and of Tessera only what keeps that rule too. No argparse, no typing, no
json (the daemon is asked for the lease's environment as words), no signal and no socket, but what C modules
lie under them; forms that this parser does not know go to the Typer command, which has the same options
and the good error messages.
"""

from __future__ import annotations

import os
import sys

from tessera import paths
from tessera.client.encode import encode
from tessera.client.exchange import ENVIRONMENT, NoDaemon, exchange
from tessera.model.errors import (
    ProgramNotExecutable,
    ProgramNotFound,
    TesseraError,
    UsageError,
)

# typing costs 4 ms at run time, and only type checkers need it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

TRANSPORTS = ("shm", "unix", "tcp")
IDENTITIES = ("tessera", "device")
PLACEMENTS = ("pack", "spread")
FOREVER = "forever"
_VALUES = {
    "-f": "fraction",
    "--fraction": "fraction",
    "-m": "memory",
    "--memory": "memory",
    "-g": "gpus",
    "--gpus": "gpus",
    "-n": "name",
    "--name": "name",
    "-t": "transport",
    "--transport": "transport",
    "-w": "weight",
    "--weight": "weight",
    "--identity": "identity",
    "--placement": "placement",
    "--priority": "priority",
    "--wait": "wait",
}
# Of virtual machines, which the Typer command makes.
_VALUES_OF_MACHINES = ("--image", "--cpus", "--guest-memory", "--direct")


class Options:
    """What `tessera run` was asked for; sizes still as text."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.fraction: str | None = None
        self.memory: str | None = None
        self.gpus = "1"
        self.name: str | None = None
        self.transport = "shm"
        self.weight = "100"
        self.identity = "tessera"
        self.placement: str | None = None
        self.priority = "0"
        self.wait: str | None = None
        self.machine: str | None = None


def with_wait_limit(arguments: list[str]) -> list[str]:
    """The command line with a value behind every --wait: the one option that may go without."""
    complete = []
    position = 0
    while position < len(arguments) and arguments[position].startswith("-"):
        word = arguments[position]
        if word == "--":
            break
        following = arguments[position + 1 : position + 2]
        if word == "--wait" and not (following and _is_number(following[0])):
            word, following = f"--wait={FOREVER}", []
        if word not in _VALUES and word not in _VALUES_OF_MACHINES:
            following = []
        complete += [word, *following]
        position += 1 + len(following)
    return complete + arguments[position:]


def _is_number(text: str) -> bool:
    whole, _, part = text.partition(".")
    return text.isascii() and whole.isdecimal() and (not part or part.isdecimal())


def _is_priority(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) < 5


def parse(arguments: list[str]) -> Options | None:
    """The options of a well-formed command line, else None."""
    options = Options([])
    arguments = with_wait_limit(arguments)
    position = 0
    while position < len(arguments):
        word = arguments[position]
        position += 1
        if word == "--":
            break
        if not word.startswith("-"):
            position -= 1
            break
        flag, joined, value = word.partition("=")
        if flag not in _VALUES or (joined and not flag.startswith("--")):
            return None
        if not joined:
            if position == len(arguments):
                return None
            value = arguments[position]
            position += 1
        setattr(options, _VALUES[flag], value)
    options.command = arguments[position:]
    well_formed = (
        options.command
        and _is_count(options.gpus)
        and _is_count(options.weight)
        and options.transport in TRANSPORTS
        and options.identity in IDENTITIES
        and options.placement in (None, *PLACEMENTS)
        and _is_priority(options.priority)
        and (options.wait in (None, FOREVER) or _is_number(options.wait))
        and not (options.fraction and options.memory)
    )
    return options if well_formed else None


def checked_wait(wait: str | None) -> str | None:
    """The value of --wait, if it is one. Raises UsageError."""
    if wait is None or wait == FOREVER or _is_number(wait):
        return wait
    raise UsageError(
        f"'{wait[:40]}' is no time to wait.", "Write --wait, or --wait and a number of seconds."
    )


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0


def main(options: Options) -> int:
    """Runs the command; returns only when it could not be run, with the exit code."""
    try:
        program = find_program(options.command[0])
        lease = request_lease(options)
        _become(program, options.command, lease)
    except TesseraError as error:
        report(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def report(error: TesseraError) -> None:
    """Tells a person on stderr what happened and what to do next."""
    print(f"tessera: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)


def find_program(name: str) -> str:
    """The path of a program, as a shell finds it. Raises ProgramNotFound or ProgramNotExecutable."""
    folders = [""] if "/" in name else os.get_exec_path()
    found = None
    for folder in folders:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            found = path
            if os.access(path, os.X_OK):
                return path
    if found:
        raise ProgramNotExecutable(f"{found} may not be executed.", f"Run: chmod +x {found}")
    raise ProgramNotFound(
        f"There is no program '{name}'.", "Check its name and PATH; no lease was made."
    )


def request_lease(options: Options) -> list[str]:
    """A new lease, as the words that its environment is made of."""
    request: dict[str, object] = {
        "name": options.name,
        "gpus": int(options.gpus),
        "fraction": options.fraction,
        "memory": options.memory,
        "transport": options.transport,
        "weight": int(options.weight),
        "identity": options.identity,
        "placement": options.placement,
        "priority": int(options.priority),
        "holder_pid": os.getpid(),
        "machine": options.machine,
        "command": options.command,
    }
    path = paths.daemon_socket()
    try:
        answer = _ask(path, request, options.wait)
    except NoDaemon:
        _check(request)
        from tessera.client.launch import ensure_daemon

        ensure_daemon(path)
        answer = _ask(path, request, options.wait)
    return os.fsdecode(answer).split("\0")[:-1]


def _ask(path: str, request: dict[str, object], wait: str | None) -> bytes:
    if wait is None:
        return exchange(path, "POST", "/v1/leases", encode(request), ENVIRONMENT)
    from tessera.cli import waiting

    return waiting.lease(path, request, waiting.FOREVER if wait == FOREVER else float(wait))


def _check(request: dict[str, object]) -> None:
    # The daemon checks all requests; this spares starting one only to hear that 5/4 is no fraction.
    from tessera.model.lease import LeaseRequest

    LeaseRequest.checked(request)


def environment(words: list[str], source: dict[str, str]) -> dict[str, str]:
    """`source` as a lease's words change it: NAME=VALUE sets a variable, NAME removes it.

    A list of binds (NAME_BIND) keeps what the user has in it.
    """
    variables = dict(source)
    for word in words:
        name, sets, value = word.partition("=")
        if sets and name.endswith("_BIND") and variables.get(name):
            variables[name] += f",{value}"
        elif sets:
            variables[name] = value
        else:
            variables.pop(name, None)
    return variables


def _become(program: str, command: list[str], lease: list[str]) -> NoReturn:
    variables = environment(lease, dict(os.environ))
    _restore_signals()
    try:
        _execute(program, command, variables)
    except OSError as error:
        exchange(paths.daemon_socket(), "DELETE", f"/v1/leases/{variables['TESSERA_LEASE']}")
        raise ProgramNotExecutable(
            f"{program} cannot be executed: {error.strerror}.",
            "Check that it is a program for this machine; the lease was released.",
        ) from error


def _execute(program: str, command: list[str], variables: dict[str, str]) -> NoReturn:
    import errno

    try:
        os.execve(program, command, variables)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    # A script without #! is run by the shell, as execvp and every shell do.
    os.execve("/bin/sh", ["/bin/sh", program, *command[1:]], variables)


def _restore_signals() -> None:
    # Python ignores these two for itself, and an ignored signal stays ignored over an exec.
    # (This module is loaded already, unlike signal, whose names are enumerations.)
    import _signal  # type: ignore[import-not-found]

    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
