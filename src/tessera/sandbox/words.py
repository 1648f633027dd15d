# SPDX-License-Identifier: Apache-2.0
"""The command line of bwrap for a sandbox: a pure function of what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tessera.sandbox.inside import User
from tessera.sandbox.namespaces import OF_ROOT
from tessera.sandbox.plan import Plan
from tessera.sandbox.root import SOCKET, VENDORS

ENDPOINT = "TESSERA_ENDPOINT"
# What a program at a terminal, and Tessera's driver, are told of the host's environment.
_KEPT = ("TERM", "TESSERA_LOG")


def bwrap_words(
    plan: Plan,
    user: User,
    workdir: str,
    variables: Mapping[str, str],
    root: str,
    bound: Sequence[tuple[str, str]],
    inner: int,
) -> list[str]:
    """The arguments of bwrap, less the program; `bound` are files of the lease and their places.

    bwrap is root of the outer user namespace; the program is `user` of that of the descriptor `inner`.

    The environment is among them and not bwrap's own: an image that sets LD_PRELOAD means its program.
    """
    words = ["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"]
    words += [] if plan.network else ["--unshare-net"]
    # That of --sync-fd is closed before the program starts.
    words += ["--userns2", str(inner), "--sync-fd", str(inner), "--cap-drop", "ALL"]
    for name in OF_ROOT if user.uid == 0 else ():
        words += ["--cap-add", name]
    words += ["--die-with-parent", "--new-session"]
    words += ["--bind", root, "/", "--proc", "/proc", "--dev", "/dev"]
    # Root's sandbox runs as root of the host with no privilege there, and the kernel's settings ask for none.
    words += ["--ro-bind", "/proc/sys", "/proc/sys"]
    for source, place in bound:
        words += ["--ro-bind", source, place]
    for mount in plan.mounts:
        words += ["--bind" if mount.writable else "--ro-bind", mount.source, mount.place]
    words += ["--clearenv"]
    for name, value in variables.items():
        words += ["--setenv", name, value]
    return [*words, "--chdir", workdir]


def variables_inside(
    image: Mapping[str, str], lease: Mapping[str, str], user: User, host: Mapping[str, str]
) -> dict[str, str]:
    """The environment of the program: the image's, and what leads its OpenCL loader to the lease.

    `lease` is the lease's own environment for a program of the host, whose paths are others.
    """
    found = {"HOME": user.home, **{name: host[name] for name in _KEPT if name in host}, **image}
    found |= {name: value for name, value in lease.items() if not name.endswith("_BIND")}
    found["OCL_ICD_VENDORS"] = VENDORS
    kind, _, path = lease[ENDPOINT].partition(":")
    if path.startswith("/"):
        found[ENDPOINT] = f"{kind}:{SOCKET}"
    return found
