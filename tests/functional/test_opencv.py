# SPDX-License-Identifier: Apache-2.0
"""OpenCV on a device (its transparent API): the same bits on a lease as on the bare device."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.leases import real_host
from helpers.programs import Run, run_bare, run_leased

OPERATIONS = Path(__file__).parents[1] / "helpers" / "opencv_operations.py"
LEAST_OPERATIONS = 100
LEAST_PROGRAMS = 45  # built on the bare device, or OpenCV has done its work on the processor
LIMIT = 1800.0  # a cold device compiles each program of the bare side and of the lease twice

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("cv2") is None,
        reason="OpenCV is not installed: run `scripts/setup slow`.",
    ),
]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


def results(run: Run, programs: Path) -> dict[str, str]:
    """What became of each operation; OpenCV keeps the programs that it builds in the folder."""
    programs.mkdir(exist_ok=True)
    # OpenCV takes no processor for a device unless it is told to.
    variables = {"OPENCV_OPENCL_DEVICE": ":GPU|CPU:", "OPENCV_OPENCL_CACHE_DIR": str(programs)}
    done = run(sys.executable, str(OPERATIONS), environment=variables, limit=LIMIT)
    assert done.returncode == 0, done.stderr
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())


def kept(programs: Path) -> list[str]:
    """The programs that were built, by the names of their files."""
    return sorted(path.name for path in programs.rglob("*") if path.is_file())


def test_every_operation_gives_the_same_bits(host: Host, tmp_path: Path) -> None:
    bare = results(run_bare, tmp_path / "bare")
    assert len(bare) >= LEAST_OPERATIONS
    assert len(kept(tmp_path / "bare")) >= LEAST_PROGRAMS
    leased = partial(run_leased, host)
    assert results(leased, tmp_path / "leased") == bare
    assert kept(tmp_path / "leased") == kept(tmp_path / "bare")
    # Now from the binaries that the first run has kept.
    assert results(leased, tmp_path / "leased") == bare
