# SPDX-License-Identifier: Apache-2.0
"""What a daemon can be told, by its environment and its arguments."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tessera import paths
from tessera.inventory import CpuDevices
from tessera.model.errors import UsageError
from tessera.model.lease import Placement
from tessera.model.policy import DEFAULT_POLICY, PolicyChange, parse_policy, parse_time_slice
from tessera.model.units import parse_memory
from tessera.store import default_url


@dataclass(frozen=True)
class Settings:
    """`reserve` in bytes per GPU; `idle_exit` in seconds, None: runs until it is stopped."""

    runtime_folder: Path
    database_url: str
    reserve: int = 0
    cpu_devices: CpuDevices = CpuDevices.AUTO
    group: str | None = None
    idle_exit: float | None = None
    policy: PolicyChange = DEFAULT_POLICY
    placement: Placement = Placement.PACK

    @property
    def node(self) -> str:
        """Names this daemon in a database that several share."""
        return f"{socket.gethostname()}:{self.runtime_folder}"

    @property
    def socket(self) -> Path:
        return self.runtime_folder / paths.SOCKET_NAME

    @classmethod
    def read(
        cls,
        group: str | None = None,
        idle_exit: float | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Settings:
        """From TESSERA_RUNTIME_DIR, _DATABASE_URL, _RESERVE (such as 256MiB), _CPU_DEVICES, _PLACEMENT, and
        _POLICY and _TIME_SLICE (such as 2ms), which hold for GPUs that were given no policy of their own.

        Raises UsageError, InvalidMemory, InvalidPolicy or InvalidTimeSlice.
        """
        reserve = environment.get("TESSERA_RESERVE", "0")
        cpus = environment.get("TESSERA_CPU_DEVICES", CpuDevices.AUTO.value)
        if cpus not in list(CpuDevices):
            raise UsageError(
                f"TESSERA_CPU_DEVICES is '{cpus}'.", f"Set it to one of {', '.join(CpuDevices)}."
            )
        return cls(
            runtime_folder=Path(paths.runtime_folder()),
            database_url=default_url(),
            reserve=0 if reserve == "0" else parse_memory(reserve),
            cpu_devices=CpuDevices(cpus),
            group=group,
            idle_exit=idle_exit,
            policy=_policy(environment),
            placement=_placement(environment),
        )


def _placement(environment: Mapping[str, str]) -> Placement:
    placement = environment.get("TESSERA_PLACEMENT") or Placement.PACK.value
    if placement not in list(Placement):
        raise UsageError(
            f"TESSERA_PLACEMENT is '{placement}'.", f"Set it to one of {', '.join(Placement)}."
        )
    return Placement(placement)


def _policy(environment: Mapping[str, str]) -> PolicyChange:
    """An empty variable is one that was not set."""
    policy = parse_policy(environment.get("TESSERA_POLICY") or DEFAULT_POLICY.policy)
    slice_us = parse_time_slice(environment.get("TESSERA_TIME_SLICE") or "auto")
    milliseconds = None if slice_us is None else slice_us / 1000
    return PolicyChange(policy=policy, time_slice_ms=milliseconds)
