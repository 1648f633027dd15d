# SPDX-License-Identifier: Apache-2.0
"""What each command does: ask the daemon, print the answer."""

from __future__ import annotations

import os
import signal
import sys

from tessera import __version__, paths
from tessera.cli import output, tables
from tessera.cli.output import Format
from tessera.client import launch
from tessera.client.rest import Client
from tessera.model.errors import DaemonUnreachable, HostError, LeaseNotActive, UnreachableError
from tessera.model.lease import Lease, LeaseChange, LeaseState, Mode
from tessera.model.stats import LeaseStats
from tessera.model.suspension import Keep

_STOP_LIMIT = 15.0


def client(autostart: bool = True) -> Client:
    """A client of this user's daemon, started when it is missing. Raises UnreachableError."""
    path = paths.daemon_socket()
    return Client(path, autostart=autostart and launch.may_start(path))


def show_gpus(output_format: Format) -> None:
    with client() as daemon:
        found = daemon.gpus()
    if output_format is Format.JSON:
        output.print_json(found)
        return
    output.print_tables(tables.gpus(found))
    if not found:
        output.say("No GPU. `tessera doctor` looks for drivers and says what is missing.")


def show_leases(everything: bool, output_format: Format) -> None:
    with client() as daemon:
        found = daemon.leases(ended=everything)
    if output_format is Format.JSON:
        output.print_json(found)
    else:
        output.print_tables(tables.leases(found))


def show_lease(key: str, output_format: Format) -> None:
    with client() as daemon:
        found = daemon.lease(key)
    if output_format is Format.JSON:
        output.print_json(found)
    else:
        output.print_tables(tables.lease(found))


def show_stats(keys: list[str], output_format: Format) -> None:
    with client() as daemon:
        found = [daemon.stats(key) for key in keys] if keys else _all_stats(daemon)
    if output_format is Format.JSON:
        output.print_json(found)
        return
    for number, stats in enumerate(found):
        lines: list[str] = ([""] if number else []) + [tables.stats_title(stats)]
        output.print_tables(*lines, *([tables.sessions(stats)] if stats.sessions else []))
    if not found:
        output.say("No active lease.")


def _all_stats(daemon: Client) -> list[LeaseStats]:
    found = []
    for lease in daemon.leases():
        if lease.state is LeaseState.ACTIVE and lease.mode is Mode.SHARED:
            try:
                found.append(daemon.stats(lease.id))
            except LeaseNotActive:
                continue
    return found


def resize_lease(
    key: str, memory: str | None, fraction: str | None, weight: int | None, output_format: Format
) -> None:
    """Changes what is given. Raises UsageError, NoCapacity, ResizeBelowUse and what the daemon answers."""
    change = LeaseChange.checked({"memory": memory, "fraction": fraction, "weight": weight})
    with client() as daemon:
        changed = daemon.change(key, change)
    if output_format is Format.JSON:
        output.print_json(changed)
    else:
        output.print_tables(tables.leases([changed]))


def stop_leases(keys: list[str], grace: float, output_format: Format) -> None:
    """Stops the leases named, or all when none is."""
    with client() as daemon:
        keys = keys or [lease.id for lease in daemon.leases()]
        ended: list[Lease] = []
        for key in keys:
            lease = daemon.release(key, end_holder=True, grace=grace)
            ended.append(lease)
            if output_format is Format.TABLE:
                print(lease.name, flush=True)
    if output_format is Format.JSON:
        output.print_json(ended)


def check_suspend(key: str, output_format: Format) -> None:
    with client() as daemon:
        needs = daemon.suspend_check(key)
    if output_format is Format.JSON:
        output.print_json(needs)
    else:
        output.print_tables(tables.suspend_needs(needs))


def suspend_lease(key: str, to: Keep, output_format: Format) -> None:
    with client() as daemon:
        lease = daemon.suspend(key, to)
    _print_moved(lease, output_format)


def resume_lease(key: str, gpus: list[str], output_format: Format) -> None:
    with client() as daemon:
        lease = daemon.resume(key, gpus)
    _print_moved(lease, output_format)


def _print_moved(lease: Lease, output_format: Format) -> None:
    if output_format is Format.JSON:
        output.print_json(lease)
    else:
        print(f"{lease.name} is {lease.state}")


def show_version(output_format: Format) -> None:
    try:
        with client(autostart=False) as daemon:
            running: str | None = daemon.version().version
    except UnreachableError:
        running = None
    if output_format is Format.JSON:
        output.print_json({"version": __version__, "daemon": running})
    else:
        print(f"tessera {__version__}")
        print(f"daemon  {running or 'not reachable, or of another version'}")


def run_daemon(group: str | None, idle_exit: float | None) -> None:
    """Becomes the daemon. Ends the process with its exit code."""
    from tessera.daemon.__main__ import main

    arguments = ["--group", group] if group else []
    arguments += ["--idle-exit", str(idle_exit)] if idle_exit else []
    sys.exit(main(arguments))


def start_daemon() -> None:
    """Starts a daemon unless one is there. Raises DaemonStartFailed or DaemonUnreachable."""
    path = paths.daemon_socket()
    if launch.is_listening(path):
        output.say(f"A daemon already serves {path}.")
        return
    launch.ensure_daemon(path)
    output.say(f"The daemon serves {path}.")


def stop_daemon() -> None:
    """Ends the daemon of this runtime folder and waits for that. Raises DaemonUnreachable, HostError."""
    folder = os.path.dirname(paths.daemon_socket())
    pid = launch.daemon_pid(folder)
    if pid is None:
        raise DaemonUnreachable(f"No daemon runs in {folder}.", "There is nothing to stop.")
    if not _end(pid):
        raise HostError(
            f"The daemon (pid {pid}) does not end.", f"Kill it: kill -9 {pid}   (leases go on.)"
        )
    output.say(f"The daemon (pid {pid}) ended; leases that were active go on.")


def _end(pid: int) -> bool:
    import select

    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(_STOP_LIMIT * 1000))
    except PermissionError as error:
        raise HostError(
            f"The daemon (pid {pid}) belongs to another user.", "Ask root, or use systemctl."
        ) from error
    finally:
        os.close(pidfd)
