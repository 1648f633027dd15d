# SPDX-License-Identifier: Apache-2.0
"""The quota page is read as it is written, and a damaged one is refused by name."""

from __future__ import annotations

import os
from ctypes import sizeof
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.samples import a_lease
from tessera.leases import quota
from tessera.leases.quota import QuotaPage, read_page, stats_of
from tessera.model.errors import QuotaPageUnreadable
from tessera.model.lease import Transport


def a_page() -> QuotaPage:
    page = QuotaPage(magic=quota.MAGIC, version=quota.VERSION, gpu_count=2, sessions_total=9)
    page.gpus[1].limit, page.gpus[1].used = 100, 60
    page.gpus[1].peak, page.gpus[1].refused = 90, 3
    for index, state in ((0, 2), (3, 1), (255, 2)):
        slot = page.slots[index]
        slot.state, slot.transport, slot.worker_pid = state, 1, 1000 + index
        slot.client_pid = index
        slot.started_ns = 1_700_000_000_000_000_000
        slot.used[0], slot.used[1] = 1, 10
        slot.messages, slot.round_trips = 5, 2
    return page


def test_the_page_has_the_size_of_the_header() -> None:
    assert sizeof(QuotaPage) == 41408
    assert quota.layout()["slots"][0] % 64 == 0
    assert quota.layout()["mutex"][0] % 64 == 0


def test_sessions_and_totals_are_read(tmp_path: Path) -> None:
    path = tmp_path / "quota"
    path.write_bytes(bytes(a_page()))
    stats = stats_of(a_lease(), read_page(path))
    assert [session.slot for session in stats.sessions] == [0, 3, 255]
    assert [session.state for session in stats.sessions] == ["live", "starting", "live"]
    assert stats.sessions[0].client_pid is None
    assert stats.sessions[1].client_pid == 3
    assert stats.sessions[0].transport is Transport.SHM
    assert stats.sessions[0].memory_per_gpu == (1, 10)
    assert stats.totals.messages == 15
    assert stats.totals.round_trips == 6
    assert stats.totals.memory == 33
    assert stats.sessions_total == 9
    gpu = stats.gpus[1]
    assert (gpu.gpu, gpu.limit, gpu.used, gpu.peak, gpu.refused) == ("gpu1", 100, 60, 90, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(a_page())[:-1],
        b"\0" * sizeof(QuotaPage),
        bytes(QuotaPage(magic=quota.MAGIC, version=quota.VERSION + 1)),
    ],
)
def test_other_files_are_no_quota_page(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "quota"
    path.write_bytes(content)
    with pytest.raises(QuotaPageUnreadable):
        read_page(path)


def test_a_missing_page_and_a_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(bytes(a_page()))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("missing", "link"):
        with pytest.raises(QuotaPageUnreadable):
            read_page(tmp_path / name)


@settings(max_examples=50)
@given(st.binary(min_size=64, max_size=64), st.integers(0, (1 << 32) - 1))
def test_any_content_gives_figures_or_nothing(noise: bytes, gpus: int) -> None:
    page = QuotaPage.from_buffer_copy((noise * (sizeof(QuotaPage) // 64 + 1))[: sizeof(QuotaPage)])
    page.gpu_count = gpus
    stats = stats_of(a_lease(), page)
    assert len(stats.gpus) == min(gpus, 2)
    assert len(stats.sessions) <= quota.MAX_SESSIONS
    assert stats.model_dump_json()


def test_reading_leaves_no_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "quota"
    path.write_bytes(bytes(a_page()))
    read_page(path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        read_page(path)
    assert len(os.listdir("/proc/self/fd")) == before
