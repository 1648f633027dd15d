# SPDX-License-Identifier: Apache-2.0
"""Who held a GPU when, in the Trace Event Format that Chrome's tracing page and Perfetto read.

The format: "Trace Event Format", The Chromium Project. A complete event (`ph` X) is a stretch of time on
the track `tid` of the process `pid`; `ts` and `dur` are in microseconds. A metadata event (`ph` M) names a
process or a track.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tessera.model.policy import PolicyKind


class TraceEvent(BaseModel):
    """One event. Of a stretch, `args` has the grant's number, and the device time in us that the lease was
    charged since its stretch before."""

    model_config = ConfigDict(frozen=True)

    name: str
    ph: Literal["X", "M"]
    pid: int
    tid: int
    ts: float = 0.0
    dur: float | None = None
    cat: str | None = None
    args: dict[str, str | int | float] = {}


class TraceFacts(BaseModel):
    """Where the events come from. `ts` 0 is `started_ns` on CLOCK_MONOTONIC. `forgotten`: older stretches
    that the ring of the board no longer holds."""

    model_config = ConfigDict(frozen=True)

    gpu: str
    policy: PolicyKind
    slice_us: int
    started_ns: int
    forgotten: int


class Trace(BaseModel):
    """The body of GET /v1/gpus/{id}/trace, and the file that `tessera trace` writes."""

    model_config = ConfigDict(frozen=True)

    traceEvents: tuple[TraceEvent, ...]
    displayTimeUnit: Literal["ms"] = "ms"
    otherData: TraceFacts

    def stretches(self) -> list[TraceEvent]:
        """The events in which a lease held the GPU."""
        return [event for event in self.traceEvents if event.ph == "X"]

    def tracks(self) -> dict[int, str]:
        """The name of each lease's track, by `tid`."""
        return {
            event.tid: str(event.args["name"])
            for event in self.traceEvents
            if event.ph == "M" and event.name == "thread_name"
        }
