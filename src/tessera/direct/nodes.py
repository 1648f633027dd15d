# SPDX-License-Identifier: Apache-2.0
"""The node of an IOMMU group, /dev/vfio/N: who may open it may have its devices.

QEMU opens it by name (7.2 has no option that takes a descriptor), and QEMU is a user that nobody else is. So
the node is that user's for as long as the lease lives, and nobody's but root's before and after: the kernel
makes a new one each time a group comes to VFIO. A group of users (`kvm`) that may open all nodes was refused:
each of its members could have every machine's devices.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_SETTLE_LIMIT = 10.0


def of_group(root: Path, group: int) -> Path:
    return root / "dev/vfio" / str(group)


def settle() -> None:
    """Waits until udev, where there is one, has given its own owners to fresh nodes."""
    program = shutil.which("udevadm", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if program:
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                [program, "settle", "--timeout=5"],
                capture_output=True,
                timeout=_SETTLE_LIMIT,
                check=False,
            )


def give(nodes: Iterable[Path], uid: int, gid: int = -1) -> None:
    """Lets one user, and nobody else, open them. Raises OSError."""
    for node in nodes:
        os.chown(node, uid, gid)
        node.chmod(0o600)
