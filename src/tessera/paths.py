# SPDX-License-Identifier: Apache-2.0
"""Where the daemon's files are. Light: the fast path of `tessera run` imports it.

A folder under /tmp can be made by anybody first, with a socket inside that collects other people's
requests. So a runtime folder is used only when this user (or root) owns it and nobody else may write it.
"""

from __future__ import annotations

import os
import stat

from tessera.model.errors import DiskFull, RuntimeFolderUnusable

SOCKET_NAME = "tesserad.sock"
LOCK_NAME = "tesserad.pid"
START_LOCK_NAME = "start.lock"
LOG_NAME = "tesserad.log"

# sockaddr_un.sun_path is 108 bytes with its terminating zero.
MAX_SOCKET_PATH = 107


def runtime_folder() -> str:
    """The folder of sockets, locks and leases: gone after a reboot."""
    if chosen := os.environ.get("TESSERA_RUNTIME_DIR"):
        return os.path.abspath(chosen)
    if os.geteuid() == 0:
        return "/run/tessera"
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return os.path.join(base, "tessera")
    return f"/tmp/tessera-{os.geteuid()}"


def state_folder() -> str:
    """The folder of the database: kept over a reboot."""
    if chosen := os.environ.get("TESSERA_STATE_DIR"):
        return os.path.abspath(chosen)
    if os.geteuid() == 0:
        return "/var/lib/tessera"
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "tessera")


def daemon_socket() -> str:
    """The socket to talk to: this user's own daemon, else the host's when one is installed."""
    own = os.path.join(runtime_folder(), SOCKET_NAME)
    host = os.path.join("/run/tessera", SOCKET_NAME)
    if os.environ.get("TESSERA_RUNTIME_DIR") or os.path.exists(own):
        return own
    return host if os.access(host, os.W_OK) else own


def make_private_folder(path: str, mode: int = 0o700) -> None:
    """Makes `path` if it is missing. Raises RuntimeFolderUnusable or DiskFull."""
    try:
        os.makedirs(path, mode=mode, exist_ok=True)
        check_private_folder(path)
    except OSError as error:
        raise folder_error(path, error) from error


def check_private_folder(path: str) -> None:
    """Raises RuntimeFolderUnusable unless `path` is a folder that only its owner may write."""
    facts = os.lstat(path)
    if not stat.S_ISDIR(facts.st_mode):
        raise RuntimeFolderUnusable(f"{path} is not a folder.", "Remove it, or choose another one.")
    if facts.st_uid not in (0, os.geteuid()) or facts.st_mode & 0o022:
        raise RuntimeFolderUnusable(
            f"{path} can be written by another user.",
            f"Run: chmod 700 {path}   or set TESSERA_RUNTIME_DIR to a folder of your own.",
        )


def folder_error(path: str, error: OSError) -> DiskFull | RuntimeFolderUnusable:
    """The named error for a failed write at `path`."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"No space left for {error.filename or path}.",
            "Free some space there, or set TESSERA_RUNTIME_DIR and TESSERA_STATE_DIR.",
        )
    return RuntimeFolderUnusable(
        f"Cannot write {error.filename or path}: {error.strerror}.",
        "Make it writable, or set TESSERA_RUNTIME_DIR and TESSERA_STATE_DIR to folders of your own.",
    )
