# SPDX-License-Identifier: Apache-2.0
"""The user `nobody` of this host, with a host of its own; for tests that root runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.host import TESSERA, Host
from helpers.leases import real_host

NOBODY = 65534
# In a mount namespace of its own: a /dev/fuse as distributions have it, a Python that may be anywhere, and what
# the host sets aside for this user.
_AS_NOBODY = """
set -e
folder=$1 python=$2 aside=$3
shift 3
[ -e "$folder/fuse" ] || mknod "$folder/fuse" c 10 229
chmod 666 "$folder/fuse"
mount --bind "$folder/fuse" /dev/fuse
for file in /etc/subuid /etc/subgid; do
  [ -e $file ] || [ -z "$aside" ] || { echo "$file is not there" >&2; exit 1; }
  [ ! -e $file ] || { echo "$aside" >"$folder/aside"; mount --bind "$folder/aside" $file; }
done
case $python in /root/*)
  mkdir -p "$folder/python"
  mount --bind "$python" "$folder/python"
  mount -t tmpfs -o mode=755 tmpfs /root
  mkdir -p "$python"
  mount --bind "$folder/python" "$python" ;;
esac
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
"""


@dataclass(frozen=True)
class NobodysHost:
    """Runs commands as nobody; `aside` is its line in /etc/subuid and /etc/subgid, if any."""

    host: Host
    script: Path

    def copied(self, image: Path) -> Path:
        """An image where nobody may read it."""
        copy = self.host.folder / image.name
        shutil.copyfile(image, copy)
        copy.chmod(0o644)
        return copy

    def run(self, *words: str, aside: str = "") -> subprocess.CompletedProcess[str]:
        """`tessera WORDS`."""
        before = ["unshare", "-m", "sh", str(self.script), str(self.host.folder), sys.base_prefix]
        return subprocess.run(
            [*before, aside, *TESSERA, *words],
            env=self.host.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@contextmanager
def host_of_nobody() -> Iterator[NobodysHost]:
    """A host on which nothing ran yet."""
    with real_host() as host:
        host.folder.chmod(0o755)
        home = host.folder / "home"
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        host.runtime, host.state = home / "run", home / "state"
        host.environment |= {
            "HOME": str(home),
            "POCL_CACHE_DIR": str(home / "pocl"),
            "TESSERA_RUNTIME_DIR": str(host.runtime),
            "TESSERA_STATE_DIR": str(host.state),
        }
        script = host.folder / "as-nobody"
        script.write_text(_AS_NOBODY)
        yield NobodysHost(host, script)
