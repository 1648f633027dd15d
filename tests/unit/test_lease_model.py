# SPDX-License-Identifier: Apache-2.0
"""The lease's state machine takes only the steps it has, and a request only what makes sense."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.model.errors import (
    InvalidFraction,
    InvalidMemory,
    InvalidName,
    InvalidRequest,
    InvalidTransition,
    UsageError,
)
from tessera.model.lease import (
    TRANSITIONS,
    GpuShare,
    Lease,
    LeaseRequest,
    LeaseState,
    Transport,
    check_name,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_lease(state: LeaseState = LeaseState.PENDING) -> Lease:
    return Lease(
        id="0123",
        name="a",
        state=state,
        transport=Transport.SHM,
        gpus=(GpuShare(gpu="gpu0", memory=1),),
        owner_uid=0,
        created_at=NOW,
        updated_at=NOW,
    )


@given(st.lists(st.sampled_from(LeaseState), max_size=20))
def test_only_steps_of_the_state_machine_are_taken(steps: list[LeaseState]) -> None:
    lease = a_lease()
    for step in steps:
        before = lease.state
        if step in TRANSITIONS[before]:
            lease = lease.advanced(step, NOW)
            assert lease.state is step
        else:
            with pytest.raises(InvalidTransition, match=str(step)):
                lease.advanced(step, NOW)
            assert lease.state is before


@given(st.sampled_from(LeaseState))
def test_every_state_can_end_and_the_end_is_final(state: LeaseState) -> None:
    reachable, frontier = {state}, [state]
    while frontier:
        new = TRANSITIONS[frontier.pop()] - reachable
        reachable |= new
        frontier += new
    assert LeaseState.RELEASED in reachable
    assert not TRANSITIONS[LeaseState.RELEASED]
    assert a_lease(LeaseState.RELEASED).holds_memory is False
    assert a_lease(LeaseState.FAILED).holds_memory is False


def test_the_reason_of_a_failure_stays_after_the_release() -> None:
    failed = a_lease(LeaseState.ACTIVE).advanced(LeaseState.FAILED, NOW, "driver fault")
    assert failed.advanced(LeaseState.RELEASED, NOW).reason == "driver fault"


def test_leases_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        a_lease().state = LeaseState.ACTIVE  # type: ignore[misc]


@pytest.mark.parametrize("name", ["a", "train-1", "A.b_c", "0" * 63])
def test_names_that_are_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "ä", "0" * 64, "a\n", "../x"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        LeaseRequest(name=name)


def test_memory_may_be_text() -> None:
    assert LeaseRequest.checked({"memory": "512MiB"}).memory == 512 << 20


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"fraction": "5/4"}, InvalidFraction),
        ({"memory": "much"}, InvalidMemory),
        ({"memory": 0}, InvalidRequest),
        ({"memory": 1 << 63}, InvalidRequest),
        ({"gpus": 0}, InvalidRequest),
        ({"gpus": 9}, InvalidRequest),
        ({"gpus": "many"}, InvalidRequest),
        ({"transport": "pigeon"}, InvalidRequest),
        ({"identity": "pigeon"}, InvalidRequest),
        ({"identity": None}, InvalidRequest),
        ({"colour": "red"}, InvalidRequest),
        ({"fraction": "1/4", "memory": 5}, UsageError),
    ],
)
def test_requests_that_are_refused(fields: dict[str, object], error: type[UsageError]) -> None:
    with pytest.raises(error) as refusal:
        LeaseRequest.checked(fields)
    assert refusal.value.exit_code == 2
    assert refusal.value.hint
