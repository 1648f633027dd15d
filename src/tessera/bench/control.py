# SPDX-License-Identifier: Apache-2.0
"""How an experiment sets the policy of a GPU, and reads what each lease used of it.

The only place of the experiments that knows the daemon's routes for this. What is measured comes from
the GPU's board by way of the daemon, as `tessera stats` tells it, in one look at all leases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tessera.bench.errors import SideFailed
from tessera.client.rest import Client
from tessera.model.policy import PolicyChange, PolicyKind, parse_policy, parse_time_slice
from tessera.model.usage import Usage
from tessera.paths import SOCKET_NAME


@dataclass(frozen=True)
class Reading:
    """Device time that each lease had used, ever, at a moment of CLOCK_MONOTONIC; in nanoseconds."""

    taken_ns: int
    device_ns: Mapping[str, int]  # by the lease's id

    def since(self, before: Reading, leases: Sequence[str]) -> list[int]:
        """What each of `leases` used between two readings. Raises SideFailed for one that is gone."""
        missing = [name for name in leases if name not in self.device_ns.keys() & before.device_ns]
        if missing:
            raise SideFailed(
                f"The daemon tells no device time of {', '.join(missing)}.",
                "See whether an arbiter runs for the GPU: `tessera gpus`.",
            )
        return [self.device_ns[name] - before.device_ns[name] for name in leases]


class Control:
    """Of the experiment's own daemon, found by its environment. A context manager.

    Raises what the daemon answers, and DaemonUnreachable.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._client = Client(str(Path(environment["TESSERA_RUNTIME_DIR"]) / SOCKET_NAME))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()

    def gpu_of(self, lease: str) -> str:
        """The id of the lease's first GPU."""
        return self._client.lease(lease).gpus[0].gpu

    def set_policy(self, gpu: str, policy: PolicyKind, time_slice: str) -> float:
        """Lets `policy` rule from now on; returns the time slice in ms that it rules with."""
        slice_us = parse_time_slice(time_slice)
        milliseconds = None if slice_us is None else slice_us / 1000
        change = PolicyChange(policy=policy, time_slice_ms=milliseconds)
        return self._client.choose_policy(gpu, change).effective_slice_ms

    def read(self) -> Reading:
        """What every lease has used until now."""
        return reading_of(self._client.usage())


def reading_of(usage: Usage) -> Reading:
    """The device time in a look at everything, over all GPUs of each lease."""
    return Reading(
        taken_ns=usage.taken_ns,
        device_ns={
            one.lease.id: sum(gpu.device.device_ns for gpu in one.stats.gpus if gpu.device)
            for one in usage.leases
            if one.stats is not None and any(gpu.device for gpu in one.stats.gpus)
        },
    )


def parse_policies(text: str) -> tuple[PolicyKind, ...]:
    """'equal,fixed' as policies in the order given, each once. Raises InvalidPolicy."""
    return tuple(dict.fromkeys(parse_policy(part) for part in text.split(",")))
