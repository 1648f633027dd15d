# SPDX-License-Identifier: Apache-2.0
"""Where the states of suspended leases lie on the host's disk."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from contextlib import suppress
from pathlib import Path

from tessera import paths

_USED = ".used"  # ends the name of a folder of states that were resumed from


class StateFolder:
    """Where the state files of suspended leases lie; each lease has a folder of its own, mode 0700."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, lease_id: str) -> Path:
        return self._folder / "suspended" / lease_id

    def make(self, lease_id: str) -> Path:
        """Raises RuntimeFolderUnusable or DiskFull."""
        folder = self.of(lease_id)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
        except OSError as error:
            raise paths.folder_error(str(folder), error) from error
        return folder

    def remove(self, lease_id: str) -> None:
        shutil.rmtree(self.of(lease_id), ignore_errors=True)

    def discard(self, lease_id: str) -> None:
        """Forgets the states of a resumed lease at once, and removes them on a thread.

        Freeing the blocks of a gigabyte takes a file system half a second, and whatever is written
        meanwhile waits for it.
        """
        folder = self.of(lease_id)
        used = folder.with_name(f"{secrets.token_hex(8)}{_USED}")
        with suppress(OSError):
            folder.rename(used)
            threading.Thread(target=shutil.rmtree, args=(used, True), daemon=True).start()

    def clean(self) -> None:
        """Removes what an earlier daemon did not come to remove."""
        for used in self._folder.glob(f"suspended/*{_USED}"):
            shutil.rmtree(used, ignore_errors=True)

    def free(self) -> int:
        """Bytes that the disk has left for this user."""
        folder = self._folder
        while not folder.exists():
            folder = folder.parent
        facts = os.statvfs(folder)
        return facts.f_bavail * facts.f_frsize
