# SPDX-License-Identifier: Apache-2.0
"""A trace has the form that Chrome's tracing page and Perfetto read, one track per lease."""

from __future__ import annotations

import json
import re

from helpers.boards import a_board, add_stretch, add_tenant
from tessera.leases.board import MAX_TENANTS, Board, TraceSlice
from tessera.leases.trace import chrome_trace
from tessera.model.policy import GpuPolicy, PolicyKind
from tessera.model.trace import Trace

POLICY = GpuPolicy(
    gpu="gpu0", policy=PolicyKind.EQUAL, time_slice_ms=None, effective_slice_ms=2, leases=2
)
STARTED = 1_000_000


def a_page() -> Board:
    page = a_board(started_ns=STARTED)
    add_tenant(page, "0aaa", place=0, since_ns=STARTED)
    add_tenant(page, "0bbb", place=3, since_ns=STARTED + 5_000)
    add_stretch(page, 3, STARTED + 1_000, STARTED + 2_000)  # of who had the place before 0bbb
    add_stretch(page, 0, STARTED + 2_500, STARTED + 4_500, device_ns=1_500)
    add_stretch(page, 3, STARTED + 6_000, STARTED + 7_250, device_ns=1_000)
    return page


def trace_of(page: Board, since_ns: int = 0) -> Trace:
    entries = tuple(page.trace[number] for number in range(page.trace_count))
    names = {"0aaa": "train", "0ccc": "other"}
    return chrome_trace(page, TraceSlice(entries, page.trace_count), POLICY, names, since_ns)


def check_form(content: object) -> None:
    """The rules of the Trace Event Format for what is used of it here."""
    assert isinstance(content, dict)
    assert content["displayTimeUnit"] in ("ms", "ns")
    named: set[tuple[int, int]] = set()
    for event in content["traceEvents"]:
        assert isinstance(event["name"], str)
        assert {type(event["pid"]), type(event["tid"])} == {int}
        assert event["ph"] in ("X", "M")
        assert isinstance(event["ts"], int | float)
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name")
            assert isinstance(event["args"]["name"], str)
            named.add((event["pid"], event["tid"]))
        else:
            assert event["ts"] >= 0
            assert event["dur"] >= 0
            assert (event["pid"], event["tid"]) in named


def test_the_form_of_the_file() -> None:
    content = json.loads(trace_of(a_page()).model_dump_json(exclude_none=True))
    check_form(content)
    assert not re.search(r"NaN|Infinity", json.dumps(content))


def test_a_stretch_is_on_the_track_of_the_lease_that_held_the_gpu_then() -> None:
    trace = trace_of(a_page())
    assert trace.tracks() == {0: "train", 3: "0bbb", MAX_TENANTS + 3: "ended, place 3"}
    assert [(event.tid, event.ts, event.dur) for event in trace.stretches()] == [
        (MAX_TENANTS + 3, 1.0, 1.0),
        (0, 2.5, 2.0),
        (3, 6.0, 1.25),
    ]
    assert trace.stretches()[1].args == {"device_us": 1.5, "grant": 2}
    assert trace.otherData.slice_us == 2000


def test_only_the_latest_on_request() -> None:
    trace = trace_of(a_page(), since_ns=STARTED + 4_500)
    assert list(trace.tracks()) == [0, 3]
    assert len(trace.stretches()) == 2


def test_what_cannot_be_is_left_out() -> None:
    page = a_page()
    add_stretch(page, MAX_TENANTS, STARTED + 8_000, STARTED + 9_000)
    add_stretch(page, 0, STARTED + 9_000, STARTED + 8_000)
    add_stretch(page, 0, 5, STARTED + 8_000)
    assert len(trace_of(page).stretches()) == 3
