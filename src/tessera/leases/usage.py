# SPDX-License-Identifier: Apache-2.0
"""What leases did with device time, read from the boards of their GPUs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tessera.leases.board import Board, Tenant, read_board
from tessera.model.errors import BoardUnreadable
from tessera.model.lease import Lease
from tessera.model.stats import DeviceUse
from tessera.model.waits import percentile_us


class Boards:
    """One look at the boards of some GPUs: each is read at most once."""

    def __init__(self, path_of: Callable[[str], Path]) -> None:
        self._path_of = path_of
        self._read: dict[str, tuple[Board, dict[str, int]] | None] = {}
        self.taken_ns = time.monotonic_ns()

    def of(self, gpu: str) -> Board | None:
        """The board of a GPU, or None when it has none that can be read."""
        found = self._look(gpu)
        return found and found[0]

    def tenant(self, gpu: str, lease: str) -> Tenant | None:
        """A lease's entry on a GPU's board, or None while it has none."""
        found = self._look(gpu)
        if found is None or lease not in found[1]:
            return None
        return found[0].tenants[found[1][lease]]

    def _look(self, gpu: str) -> tuple[Board, dict[str, int]] | None:
        if gpu not in self._read:
            try:
                board = read_board(self._path_of(gpu))
                self._read[gpu] = (board, board.places())
            except BoardUnreadable:
                self._read[gpu] = None
        return self._read[gpu]


class Shares:
    """The share of each lease since it began, or since this daemon first saw it."""

    def __init__(self) -> None:
        self._begun: dict[str, dict[str, tuple[int, int]]] = {}

    def begin(self, lease: Lease, boards: Boards) -> None:
        self._begun[lease.id] = {}
        for share in lease.gpus:
            board, tenant = boards.of(share.gpu), boards.tenant(share.gpu, lease.id)
            if board:
                own = tenant.device_ns if tenant else 0
                self._begun[lease.id][share.gpu] = (own, board.device_ns)

    def end(self, lease_id: str) -> None:
        self._begun.pop(lease_id, None)

    def of(self, lease: str, gpu: str, tenant: Tenant, board: Board) -> float | None:
        """Its device time through that of all leases; None where there was none."""
        begun = self._begun.get(lease, {}).get(gpu)
        if begun is None:
            return None
        own, everybody = tenant.device_ns - begun[0], board.device_ns - begun[1]
        return own / everybody if own >= 0 and everybody > 0 else None


def device_use(lease: Lease, boards: Boards, shares: Shares) -> Mapping[str, DeviceUse]:
    """What the boards say about a lease, by GPU; GPUs without an entry for it are left out."""
    found = {}
    for share in lease.gpus:
        board, tenant = boards.of(share.gpu), boards.tenant(share.gpu, lease.id)
        if board and tenant:
            part = shares.of(lease.id, share.gpu, tenant, board)
            found[share.gpu] = _use(tenant, boards.taken_ns, part)
    return found


def _use(tenant: Tenant, now_ns: int, share: float | None) -> DeviceUse:
    elapsed = max(0, now_ns - tenant.since_ns)
    counts = {bucket: count for bucket, count in enumerate(tenant.wait_counts) if count}
    return DeviceUse(
        elapsed_ns=elapsed,
        device_ns=tenant.device_ns,
        duty=tenant.device_ns / elapsed if elapsed else None,
        share=share,
        weight=tenant.weight,
        share_ppm=tenant.share_ppm,
        commands=tenant.commands,
        grants=tenant.grants,
        overruns=tenant.overruns,
        waits=tenant.waits,
        waited_ns=tenant.waited_ns,
        wait_p50_us=percentile_us(counts, 0.5),
        wait_p99_us=percentile_us(counts, 0.99),
        wait_counts=counts,
    )
