# SPDX-License-Identifier: Apache-2.0
"""The ring of a GPU's board as a trace, one track per lease.

The ring knows leases by their place on the board, and a place goes to another lease when its lease ends.
So a stretch belongs to the lease in its place if it began after that lease came; earlier ones are shown
on a track of their own, as of leases that have ended. A stretch that lasts is not in the ring yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tessera.leases.board import MAX_TENANTS, Board, TraceEntry, TraceSlice
from tessera.model.policy import GpuPolicy
from tessera.model.trace import Trace, TraceEvent, TraceFacts

_PROCESS = 1


def chrome_trace(
    board: Board,
    ring: TraceSlice,
    policy: GpuPolicy,
    names: Mapping[str, str],
    since_ns: int = 0,
) -> Trace:
    """The stretches that ended at `since_ns` (CLOCK_MONOTONIC) or later; `names` of leases by their ids."""
    kept = [entry for entry in ring.entries if _is_sound(entry, board) and entry.end_ns >= since_ns]
    tracks = {_track(entry, board) for entry in kept}
    titles = {track: _title(track, board, names) for track in sorted(tracks)}
    stretches = (_stretch(entry, board, titles) for entry in kept)
    return Trace(
        traceEvents=(*_names(policy.gpu, titles), *stretches),
        otherData=TraceFacts(
            gpu=policy.gpu,
            policy=policy.policy,
            slice_us=round(policy.effective_slice_ms * 1000),
            started_ns=board.started_ns,
            forgotten=max(0, ring.total - len(ring.entries)),
        ),
    )


def _is_sound(entry: TraceEntry, board: Board) -> bool:
    return entry.tenant < MAX_TENANTS and board.started_ns <= entry.begin_ns <= entry.end_ns


def _track(entry: TraceEntry, board: Board) -> int:
    is_latest = entry.begin_ns >= board.tenants[entry.tenant].since_ns
    return int(entry.tenant if is_latest else MAX_TENANTS + entry.tenant)


def _title(track: int, board: Board, names: Mapping[str, str]) -> str:
    if track >= MAX_TENANTS:
        return f"ended, place {track - MAX_TENANTS}"
    lease_id = board.tenants[track].lease_id.decode("ascii", "replace")
    return names.get(lease_id, lease_id)


def _names(gpu: str, titles: Mapping[int, str]) -> Iterator[TraceEvent]:
    yield _metadata("process_name", 0, gpu)
    for track, title in titles.items():
        yield _metadata("thread_name", track, title)


def _metadata(kind: str, track: int, name: str) -> TraceEvent:
    return TraceEvent(name=kind, ph="M", pid=_PROCESS, tid=track, args={"name": name})


def _stretch(entry: TraceEntry, board: Board, titles: Mapping[int, str]) -> TraceEvent:
    track = _track(entry, board)
    return TraceEvent(
        name=titles[track],
        ph="X",
        pid=_PROCESS,
        tid=track,
        ts=(entry.begin_ns - board.started_ns) / 1000,
        dur=(entry.end_ns - entry.begin_ns) / 1000,
        cat="grant",
        args={"device_us": entry.device_ns / 1000, "grant": entry.grant},
    )
