# SPDX-License-Identifier: Apache-2.0
"""Writes boards as an arbiter, gatekeepers and workers would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tessera.leases.board import MAGIC, TRACE_LENGTH, VERSION, Board


def a_board(gpu: str = "gpu0", started_ns: int = 1) -> Board:
    """A board without tenants."""
    return Board(magic=MAGIC, version=VERSION, gpu=gpu.encode(), started_ns=started_ns)


def add_tenant(
    board: Board,
    lease_id: str,
    place: int = 0,
    wait_counts: Mapping[int, int] | None = None,
    **fields: int,
) -> None:
    """Puts a lease on the board; `wait_counts` is by bucket."""
    tenant = board.tenants[place]
    tenant.present, tenant.weight, tenant.share_ppm = 1, 100, 1
    tenant.lease_id = lease_id.encode()
    for bucket, count in (wait_counts or {}).items():
        tenant.wait_counts[bucket] = count
    for name, value in fields.items():
        setattr(tenant, name, value)


def add_stretch(board: Board, tenant: int, begin_ns: int, end_ns: int, device_ns: int = 0) -> None:
    """Writes the next entry of the trace."""
    entry = board.trace[board.trace_count % TRACE_LENGTH]
    entry.tenant, entry.grant = tenant, board.trace_count + 1
    entry.begin_ns, entry.end_ns, entry.device_ns = begin_ns, end_ns, device_ns
    board.trace_count += 1


@contextmanager
def opened(path: Path) -> Iterator[Board]:
    """The board in a file, written back where it lies; of a fake arbiter, which writes nothing itself."""
    board = Board.from_buffer_copy(path.read_bytes())
    yield board
    with path.open("r+b") as file:
        file.write(bytes(board))
