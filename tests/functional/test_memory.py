# SPDX-License-Identifier: Apache-2.0
"""The memory of a lease is a limit: for one program, for all its programs, and whatever they try."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from helpers.host import Host
from helpers.leases import inside, lease_of, real_host, stats
from helpers.processes import eventually
from helpers.workloads import MEMORY, running

MIB = 1 << 20
LIMIT = 256 * MIB
REFUSED = "error -4"  # CL_MEM_OBJECT_ALLOCATION_FAILURE
TOO_LARGE = "error -61"  # CL_INVALID_BUFFER_SIZE


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


@pytest.fixture
def lease(host: Host) -> Iterator[dict[str, Any]]:
    with lease_of(host, memory=LIMIT) as lease:
        yield lease


def gpu(host: Host, lease: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = stats(host, lease)["gpus"][0]
    return found


def test_past_the_limit_is_an_error_and_the_program_goes_on(
    host: Host, lease: dict[str, Any]
) -> None:
    with running(MEMORY, environment=inside(host, lease)) as program:
        program.expect("ready")
        answers = [program.ask(f"take {50 * MIB}") for _ in range(7)]
        assert answers == ["ok"] * 5 + [REFUSED] * 2
        assert program.ask("steps") == "ok"
        assert program.ask("free") == "ok"
        assert program.ask(f"take {50 * MIB}") == "ok"
        assert program.ask(f"take {50 * MIB}") == REFUSED
        assert program.ask(f"take {LIMIT + 1}") == TOO_LARGE
        assert program.ask("steps") == "ok"
        now = gpu(host, lease)
        assert 250 * MIB <= now["used"] <= LIMIT
        assert now["peak"] <= LIMIT
        assert program.stop() == 0, program.stderr
    eventually(lambda: gpu(host, lease)["used"] == 0, "all memory is back", 1.0)


def test_images_count_like_buffers(host: Host, lease: dict[str, Any]) -> None:
    with running(MEMORY, environment=inside(host, lease)) as program:
        program.expect("ready")
        side = 2048  # 64 MiB of four floats a pixel
        assert [program.ask(f"image {side}") for _ in range(4)] == ["ok"] * 3 + [REFUSED]
        assert gpu(host, lease)["used"] <= LIMIT
        assert program.ask(f"take {100 * MIB}") == REFUSED
        assert program.ask("steps") == "ok"


def test_two_processes_share_the_limit(host: Host, lease: dict[str, Any]) -> None:
    environment = inside(host, lease)
    with running(MEMORY, environment=environment) as first:
        first.expect("ready")
        with running(MEMORY, environment=environment) as second:
            second.expect("ready")
            assert first.ask(f"take {150 * MIB}") == "ok"
            assert second.ask(f"take {100 * MIB}") == "ok"
            assert second.ask(f"take {50 * MIB}") == REFUSED
            assert first.ask(f"take {50 * MIB}") == REFUSED
            assert gpu(host, lease)["used"] <= LIMIT
            assert second.ask("free") == "ok"
            assert first.ask(f"take {90 * MIB}") == "ok"
            assert first.stop() == 0, first.stderr
            eventually(
                lambda: gpu(host, lease)["used"] < 50 * MIB, "what the first held is back", 1.0
            )
            assert second.ask(f"take {200 * MIB}") == "ok"


@pytest.mark.parametrize(
    "lies",
    [
        {"TESSERA_LEASE": "another"},
        {"TESSERA_MEMORY": str(1 << 40), "TESSERA_LIMIT": "0", "TESSERA_DISABLE": "1"},
        {"TESSERA_STATE_DIR": "/nowhere", "TESSERA_RUNTIME_DIR": "/nowhere"},
        {"TESSERA_NATIVE_DIR": "/nowhere", "TESSERA_LOG": "debug"},
        {"POCL_MEMORY_LIMIT": "64", "POCL_DEVICES": "basic basic"},
    ],
    ids=["lease", "memory", "folders", "native", "driver"],
)
def test_no_variable_gets_a_byte_more(
    host: Host, lease: dict[str, Any], lies: dict[str, str]
) -> None:
    environment = inside(host, lease) | lies
    with running(MEMORY, environment=environment) as program:
        program.expect("ready")
        answers = [program.ask(f"take {50 * MIB}") for _ in range(6)]
        assert answers == ["ok"] * 5 + [REFUSED]
        assert gpu(host, lease)["limit"] == LIMIT


def test_without_its_endpoint_a_program_finds_no_device(host: Host, lease: dict[str, Any]) -> None:
    environment = inside(host, lease)
    del environment["TESSERA_ENDPOINT"]
    with running(MEMORY, environment=environment) as program:
        assert program.line() == ""
        assert program.process.wait(30) != 0
