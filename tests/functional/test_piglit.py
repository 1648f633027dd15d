# SPDX-License-Identifier: Apache-2.0
"""piglit's OpenCL tests: what passes on the bare device passes on a lease.

Some 700 programs, each a process, and so a session, of its own, with 4,000 results: of calls of the API with
right and wrong arguments, of programs of a device, and of built-in functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.leases import real_host
from helpers.programs import Run, installed, run_bare, run_leased

pytestmark = pytest.mark.slow

LEAST = 4000  # passed on the bare device, or something is wrong with the run
LIMIT = 3600.0


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


def results(run: Run, folder: Path) -> dict[str, str]:
    """Name of each test -> pass, fail, skip, warn or crash."""
    piglit = installed("piglit")
    # No display, and one test after the other: several at once are other tests' business.
    options = ("-p", "surfaceless_egl", "-1", "--overwrite")
    done = run(piglit, "run", *options, "quick_cl", str(folder), limit=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    told = run_bare(piglit, "summary", "console", str(folder)).stdout
    return dict(
        re.findall(r"^(\S.*): (pass|fail|skip|warn|crash|timeout|incomplete)$", told, re.MULTILINE)
    )


def test_what_passes_on_the_bare_device_passes_on_a_lease(host: Host, tmp_path: Path) -> None:
    bare = results(run_bare, tmp_path / "bare")
    passed = {name for name, end in bare.items() if end == "pass"}
    assert len(passed) >= LEAST, bare
    leased = results(partial(run_leased, host), tmp_path / "leased")
    assert {name: leased.get(name) for name in passed if leased.get(name) != "pass"} == {}
