# SPDX-License-Identifier: Apache-2.0
"""Driver and worker under ThreadSanitizer, beside a real device and with programs of several threads.

Shared virtual memory has one address in both processes, and the sanitizer has places of its own for memory: there,
one side at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.leases import real_host
from helpers.programs import ROOT, run_leased

SANITIZED = ROOT / "build" / "tsan" / "bin"
PLAIN = ROOT / "build" / "release" / "bin"
DRIVER = "libtessera-opencl.so"
PROGRAM = "random_programs"  # the sanitizer's runtime is in it
OTHERS = ("tessera-probe", "tessera-arbiter", "tessera-gatekeeper", "tessera-vm-relay")

# Which programs, and what is sanitized.
WAYS = {
    "both": ("--kinds=-svm", {DRIVER, PROGRAM, "tessera-worker"}),
    "driver": ("--kinds=svm,threads,callbacks,maps", {DRIVER, PROGRAM}),
    "worker": ("--kinds=svm,threads,callbacks,maps", {"tessera-worker"}),
}


@pytest.fixture
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


def mixture(folder: Path, sanitized: set[str]) -> Path:
    folder.mkdir()
    for name in (DRIVER, PROGRAM, "tessera-worker", *OTHERS):
        source = (SANITIZED if name in sanitized else PLAIN) / name
        assert source.is_file(), f"{source} is not there: run `scripts/sanitize thread`."
        (folder / name).symlink_to(source)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
@pytest.mark.parametrize("way", WAYS)
def test_no_data_race_is_found(host: Host, tmp_path: Path, way: str, transport: str) -> None:
    kinds, sanitized = WAYS[way]
    native = mixture(tmp_path / "native", sanitized)
    reports = tmp_path / "reports"
    reports.mkdir()
    host.environment["TESSERA_NATIVE_DIR"] = str(native)
    # A worker ends without its threads, on purpose.
    options = {
        "report_thread_leaks": "0",
        "log_path": f"{reports}/report",
        "suppressions": str(ROOT / "tests" / "thread_sanitizer.supp"),
        "print_suppressions": "0",
    }
    host.environment["TSAN_OPTIONS"] = ":".join(f"{k}={v}" for k, v in options.items())
    words = (str(native / PROGRAM), "--seed", "400000", "--count", "200", kinds)
    wanted = ("--fraction", "1/4", "--transport", transport)
    done = run_leased(host, *words, options=wanted, limit=900)
    assert "200 programs, 0 failures" in done.stdout, done.stdout + done.stderr
    found = [each.read_text() for each in reports.iterdir()]
    assert not found, os.linesep.join(found)
    assert done.returncode == 0, done.stderr
