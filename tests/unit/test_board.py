# SPDX-License-Identifier: Apache-2.0
"""The board is read as it is written, its words are written where they belong, and noise is no harm."""

from __future__ import annotations

import os
from ctypes import sizeof
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.boards import a_board, add_stretch, add_tenant
from helpers.processes import descriptors
from helpers.samples import a_lease
from tessera.leases import board
from tessera.leases.board import (
    MAX_TENANTS,
    TRACE_LENGTH,
    Board,
    read_board,
    read_trace,
    write_policy,
    write_tenant,
)
from tessera.leases.trace import chrome_trace
from tessera.leases.usage import Boards, Shares, device_use
from tessera.model.errors import BoardUnreadable
from tessera.model.lease import GpuShare
from tessera.model.policy import GpuPolicy, PolicyKind

POLICY = GpuPolicy(
    gpu="gpu0", policy=PolicyKind.EQUAL, time_slice_ms=None, effective_slice_ms=2, leases=1
)


def written(folder: Path, page: Board) -> Path:
    path = folder / "board"
    path.write_bytes(bytes(page))
    return path


def test_parts_of_the_page_stand_on_lines_of_their_own() -> None:
    places = board.layout()
    for name in ("mutex", "tenants", "seats", "trace"):
        assert places[name][0] % 64 == 0
    assert places["trace"][0] + places["trace"][1] == sizeof(Board)


def test_words_are_written_and_nothing_else(tmp_path: Path) -> None:
    page = a_board()
    add_tenant(page, "one", place=0)
    add_tenant(page, "two", place=MAX_TENANTS - 1, device_ns=9)
    path = written(tmp_path, page)
    write_policy(path, PolicyKind.WEIGHTED, 3000)
    assert write_tenant(path, "two", weight=55, share_ppm=250_000)
    assert not write_tenant(path, "three", weight=1, share_ppm=1)
    page.policy, page.slice_us = 3, 3000
    page.tenants[MAX_TENANTS - 1].weight = 55
    page.tenants[MAX_TENANTS - 1].share_ppm = 250_000
    assert path.read_bytes() == bytes(page)
    write_policy(path, PolicyKind.BEST_EFFORT, None)
    now = read_board(path)
    assert (now.policy, now.slice_us) == (0, 0)


def test_a_lease_that_left_is_no_tenant(tmp_path: Path) -> None:
    page = a_board()
    add_tenant(page, "one", present=0)
    path = written(tmp_path, page)
    assert read_board(path).places() == {}
    assert not write_tenant(path, "one", 1, 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(a_board())[:-1],
        bytes(a_board())[:1000],
        b"\0" * sizeof(Board),
        bytes(Board(magic=board.MAGIC, version=board.VERSION + 1)),
    ],
)
def test_other_files_are_no_board(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "board"
    path.write_bytes(content)
    for act in (
        lambda: read_trace(path),
        lambda: read_board(path),
        lambda: write_policy(path, PolicyKind.FIXED, None),
        lambda: write_tenant(path, "one", 1, 1),
    ):
        with pytest.raises(BoardUnreadable):
            act()
    assert path.read_bytes() == content


def test_a_missing_board_and_a_link_are_refused(tmp_path: Path) -> None:
    written(tmp_path, a_board())
    (tmp_path / "link").symlink_to(tmp_path / "board")
    for name in ("missing", "link"):
        with pytest.raises(BoardUnreadable):
            read_board(tmp_path / name)
        with pytest.raises(BoardUnreadable):
            write_policy(tmp_path / name, PolicyKind.EQUAL, None)


def test_the_trace_holds_the_latest_stretches_in_order(tmp_path: Path) -> None:
    page = a_board()
    for number in range(TRACE_LENGTH + 100):
        add_stretch(page, tenant=0, begin_ns=number + 1, end_ns=number + 2)
    _, ring = read_trace(written(tmp_path, page))
    # The oldest entry is the one that the arbiter may be writing over.
    assert [entry.begin_ns for entry in ring.entries] == list(range(102, TRACE_LENGTH + 101))
    assert ring.total == TRACE_LENGTH + 100


def test_a_trace_that_is_not_full_is_whole(tmp_path: Path) -> None:
    page = a_board()
    for number in range(3):
        add_stretch(page, tenant=0, begin_ns=number + 1, end_ns=number + 2)
    _, ring = read_trace(written(tmp_path, page))
    assert [entry.begin_ns for entry in ring.entries] == [1, 2, 3]


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=64, max_size=64), st.integers(0, (1 << 64) - 1), st.booleans())
def test_any_content_gives_figures_or_nothing(noise: bytes, count: int, present: bool) -> None:
    page = Board.from_buffer_copy((noise * (sizeof(Board) // 64 + 1))[: sizeof(Board)])
    page.magic, page.version, page.trace_count = board.MAGIC, board.VERSION, count
    for tenant in page.tenants:
        tenant.present = present
    page.tenants[5].lease_id = b"0123"
    folder = Path("/dev/shm") / f"tessera-noise-{os.getpid()}"
    folder.write_bytes(bytes(page))
    try:
        lease = a_lease().model_copy(update={"gpus": (GpuShare(gpu="gpu0", memory=1),)})
        boards = Boards(lambda _: folder)
        uses = device_use(lease, boards, Shares())
        assert list(uses) == (["gpu0"] if present else [])
        assert all(use.model_dump_json() for use in uses.values())
        head, ring = read_trace(folder)
        assert len(ring.entries) < TRACE_LENGTH
        assert chrome_trace(head, ring, POLICY, {}).model_dump_json()
    finally:
        folder.unlink()


def test_reading_and_writing_leave_no_descriptor(tmp_path: Path) -> None:
    path = written(tmp_path, a_board())
    before = descriptors()
    for _ in range(20):
        read_trace(path)
        write_policy(path, PolicyKind.EQUAL, None)
        write_tenant(path, "x", 1, 1)
    assert descriptors() == before
