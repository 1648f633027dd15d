# SPDX-License-Identifier: Apache-2.0
"""Who is on the other end of the daemon's socket, as the kernel says (not as the request says)."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """A process that talks to the daemon."""

    uid: int
    pid: int

    @property
    def is_somebody_else(self) -> bool:
        """Whether it runs as another user than the daemon, and so needs to be given access."""
        return self.uid not in (0, os.geteuid())

    def may_manage(self, owner_uid: int) -> bool:
        """Whether it may end what `owner_uid` owns: its own things, or all for root and the daemon."""
        return self.uid in (owner_uid, 0, os.geteuid())
