# SPDX-License-Identifier: Apache-2.0
"""Device time, shares and waits of a lease, from the boards of its GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.boards import a_board, add_tenant
from helpers.samples import a_lease
from tessera.leases.board import Board
from tessera.leases.usage import Boards, Shares, device_use
from tessera.model import waits
from tessera.model.policy import share_of


def boards_of(folder: Path, **pages: Board) -> Boards:
    for gpu, page in pages.items():
        (folder / gpu).write_bytes(bytes(page))
    return Boards(lambda gpu: folder / gpu)


def test_device_time_duty_and_share(tmp_path: Path) -> None:
    lease, shares = a_lease(gpus=2), Shares()
    page = a_board()
    page.device_ns = 10_000
    add_tenant(page, "other", place=0)
    add_tenant(page, lease.id, place=1, since_ns=0, device_ns=0)
    shares.begin(lease, boards_of(tmp_path, gpu0=page))

    page.device_ns = 14_000
    tenant = page.tenants[1]
    tenant.device_ns, tenant.commands, tenant.grants, tenant.overruns = 1_000, 5, 3, 1
    boards = boards_of(tmp_path, gpu0=page)
    (use,) = device_use(lease, boards, shares).values()
    assert (use.device_ns, use.commands, use.grants, use.overruns) == (1_000, 5, 3, 1)
    assert use.share == 0.25
    assert use.elapsed_ns == boards.taken_ns
    assert use.duty == 1_000 / boards.taken_ns
    assert device_use(lease, boards, Shares())["gpu0"].share is None


def test_nothing_is_divided_by_nothing(tmp_path: Path) -> None:
    lease, shares = a_lease(gpus=1), Shares()
    page = a_board()
    add_tenant(page, lease.id, since_ns=(1 << 64) - 1)
    boards = boards_of(tmp_path, gpu0=page)
    shares.begin(lease, boards)
    use = device_use(lease, boards, shares)["gpu0"]
    assert (use.elapsed_ns, use.duty, use.share) == (0, None, None)
    assert (use.wait_p50_us, use.wait_p99_us, use.wait_counts) == (None, None, {})


def test_a_board_is_read_once_for_all_leases(tmp_path: Path) -> None:
    page = a_board()
    add_tenant(page, "0123", device_ns=5)
    boards = boards_of(tmp_path, gpu0=page)
    assert boards.tenant("gpu0", "0123")
    (tmp_path / "gpu0").unlink()
    assert device_use(a_lease(gpus=2), boards, Shares())["gpu0"].device_ns == 5


def test_percentiles_are_the_ends_of_buckets(tmp_path: Path) -> None:
    lease = a_lease(gpus=1)
    page = a_board()
    add_tenant(page, lease.id, wait_counts={0: 50, 4: 48, 40: 2})
    use = device_use(lease, boards_of(tmp_path, gpu0=page), Shares())["gpu0"]
    assert use.wait_counts == {0: 50, 4: 48, 40: 2}
    assert (use.wait_p50_us, use.wait_p99_us) == (1.0, 1024.0)


@given(st.lists(st.floats(1.0, 1e9), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_percentile_is_too_high_by_a_bucket_at_most(times: list[float], part: float) -> None:
    counts: dict[int, int] = {}
    for time in times:
        bucket = next(b for b in range(128) if time < waits.bucket_end_us(b))
        counts[bucket] = counts.get(bucket, 0) + 1
    ordered = sorted(times)
    exact = next(t for n, t in enumerate(ordered, 1) if n >= part * len(ordered))
    found = waits.percentile_us(counts, part)
    assert found is not None
    assert exact <= found <= exact * 2**0.25 * (1 + 1e-9)


def test_waits_between_two_looks() -> None:
    assert waits.difference({1: 5, 2: 3, 4: 1}, {1: 5, 2: 1}) == {2: 2, 4: 1}
    assert waits.difference({}, {1: 5}) == {}


@pytest.mark.parametrize(
    ("memory", "total", "ppm"),
    [(1, 4, 250_000), (4, 4, 1_000_000), (5, 4, 1_000_000), (1, 1 << 40, 1), (1, 0, 1)],
)
def test_a_share_of_the_memory_pays_for_that_share_of_the_time(
    memory: int, total: int, ppm: int
) -> None:
    assert share_of(memory, total) == ppm
