# SPDX-License-Identifier: Apache-2.0
"""What sandboxes need of the host."""

from __future__ import annotations

import os
import shutil
import subprocess

from tessera.model.errors import SandboxUnavailable, ToolMissing

BWRAP = "bwrap"
SQUASHFUSE = "squashfuse_ll"
FUSE = "/dev/fuse"
PACKAGES = {BWRAP: "bubblewrap", SQUASHFUSE: "squashfuse"}
_LIMIT = 10.0  # seconds


def find(name: str) -> str:
    """The path of a tool. Raises ToolMissing."""
    found = shutil.which(name)
    if found is None:
        raise ToolMissing(
            f"{name} is not installed, and sandboxes are made with it.",
            f"Run: apt-get install {PACKAGES[name]}",
        )
    return found


def check() -> None:
    """Raises ToolMissing or SandboxUnavailable where this host cannot make a sandbox for this user."""
    for name in PACKAGES:
        find(name)
    if not os.access(FUSE, os.R_OK | os.W_OK):
        raise SandboxUnavailable(
            f"{FUSE} cannot be opened, and images are mounted through it.",
            f"Run as root: modprobe fuse && chmod 666 {FUSE}   (in a container: --device {FUSE})",
        )


def try_namespaces() -> str:
    """What the kernel says against a sandbox of this user, nothing if all is well. Raises ToolMissing."""
    words = [
        find(BWRAP),
        "--unshare-all",
        "--unshare-user",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
    ]
    done = subprocess.run(
        [*words, "--", "true"], capture_output=True, text=True, timeout=_LIMIT, check=False
    )
    return done.stderr.strip() if done.returncode else ""
