# SPDX-License-Identifier: Apache-2.0
"""The folder of a lease: leases/<id>/{gpu.sock,control.sock,quota,token,gatekeeper.log,vendors/...}.

The folders can be entered by anybody who gets as far as the runtime folder, and the secrets inside are
private files. A workload of another user than the daemon's reaches its endpoint through an access list
on that one socket; changing the socket's owner instead would need a daemon that runs as root.
"""

from __future__ import annotations

import os
import secrets
import shutil
import struct
from pathlib import Path

from tessera import native, paths
from tessera.leases import spawn
from tessera.model.errors import RuntimeFolderUnusable

_ACL_VERSION = 2
_ACL_USER_OBJ, _ACL_USER, _ACL_GROUP_OBJ, _ACL_MASK, _ACL_OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_READ_WRITE, _NO_ID = 6, 0xFFFFFFFF


class Workspace:
    """The files of one lease under the runtime folder."""

    def __init__(self, runtime_folder: Path, lease_id: str) -> None:
        self.folder = runtime_folder / "leases" / lease_id
        self.socket = self.folder / "gpu.sock"
        self.control = self.folder / "control.sock"
        self.quota = self.folder / "quota"
        self.token = self.folder / "token"
        self.log = self.folder / "gatekeeper.log"
        self.vendors = self.folder / "vendors"

    def create(self) -> None:
        """Makes the folder, with the loader's file that names Tessera's driver.

        Raises RuntimeFolderUnusable, DiskFull or NativeProgramMissing.
        """
        if len(os.fsencode(self.control)) > paths.MAX_SOCKET_PATH:
            raise RuntimeFolderUnusable(
                f"{self.control} is too long for a socket ({paths.MAX_SOCKET_PATH} bytes at most).",
                "Set TESSERA_RUNTIME_DIR to a shorter path.",
            )
        library = native.find(native.CLIENT_LIBRARY)
        try:
            self.vendors.mkdir(parents=True)
            self.folder.parent.chmod(0o711)
            self.folder.chmod(0o711)
            self.vendors.chmod(0o755)
            icd = self.vendors / "tessera.icd"
            icd.write_text(f"{library}\n", encoding="utf-8")
            icd.chmod(0o644)
        except OSError as error:
            raise paths.folder_error(str(self.folder), error) from error

    def make_token(self) -> str:
        """Writes a fresh secret for TCP clients and returns it as hex. Raises as create() does."""
        secret = secrets.token_hex(32)
        try:
            with open(os.open(self.token, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
                out.write(secret + "\n")
        except OSError as error:
            raise paths.folder_error(str(self.token), error) from error
        return secret

    def grant_access(self, uid: int) -> None:
        """Lets another user connect to the endpoint. Raises RuntimeFolderUnusable."""
        try:
            os.setxattr(self.socket, "system.posix_acl_access", _access_list(uid))
        except OSError as error:
            raise paths.folder_error(str(self.socket), error) from error

    def log_tail(self) -> str:
        """The end of the gatekeeper's log, for an error message; empty when there is none."""
        return spawn.log_tail(self.log)

    def remove(self) -> None:
        """Removes the folder and all in it; what is already gone is no error."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _access_list(uid: int) -> bytes:
    entries = (
        (_ACL_USER_OBJ, _READ_WRITE, _NO_ID),
        (_ACL_USER, _READ_WRITE, uid),
        (_ACL_GROUP_OBJ, 0, _NO_ID),
        (_ACL_MASK, _READ_WRITE, _NO_ID),
        (_ACL_OTHER, 0, _NO_ID),
    )
    packed = (struct.pack("<HHI", *entry) for entry in entries)
    return struct.pack("<I", _ACL_VERSION) + b"".join(packed)


def existing(runtime_folder: Path) -> list[str]:
    """The lease ids that have a folder."""
    try:
        return sorted(entry.name for entry in (runtime_folder / "leases").iterdir())
    except OSError:
        return []
