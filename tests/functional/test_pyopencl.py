# SPDX-License-Identifier: Apache-2.0
"""pyopencl's own test-suite: what passes on the bare device passes through a lease.

The tests come from pyopencl's source distribution of the version that is installed, fetched once. They
run outside of that source, so that the installed wheel is what they import.

pyopencl chooses code paths by the platform's name, vendor and version. So the lease bears those of its
device (`--identity device`), and both runs choose the same; there are no exceptions.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

from helpers.host import Host
from helpers.leases import real_host
from helpers.programs import CACHE, Run, run_bare, run_leased

VERSION = importlib.metadata.version("pyopencl")
QUICK = ("test_wrapper.py", "test_enqueue_copy.py", "test_arrays_in_structs.py", "test_clrandom.py")
LEASE = ("--fraction", "1/4", "--identity", "device")
LEAST = {"quick": 60, "full": 250}  # passed on the bare device, or something is wrong with the run


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


@pytest.fixture(scope="module")
def suite() -> Path:
    """The folder of pyopencl's tests."""
    folder = CACHE / f"pyopencl-{VERSION}-test"
    if not folder.is_dir():
        fetch(folder)
    return folder


def fetch(folder: Path) -> None:
    download = CACHE / "download"
    download.mkdir(parents=True, exist_ok=True)
    source = download / f"pyopencl-{VERSION}.tar.gz"
    if not source.is_file():
        options = ["--no-deps", "--no-binary", "pyopencl", "--dest", str(download)]
        words = [sys.executable, "-m", "pip", "download", *options, f"pyopencl=={VERSION}"]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, f"pyopencl's source cannot be fetched: {done.stderr}"
    with tarfile.open(source) as archive:
        archive.extractall(download, filter="data")
    shutil.move(download / f"pyopencl-{VERSION}" / "test", folder)
    shutil.rmtree(download / f"pyopencl-{VERSION}")


def results(run: Run, suite: Path, files: Sequence[str], report: Path) -> dict[str, str]:
    """Name of each test -> "passed", or what became of it instead, of a run of these files.

    pyopencl keeps built programs in a cache of the run's own: devices of one name would share one.
    """
    # Without a configuration, which would be that of the project around the folder.
    options = ["-q", "-c", "/dev/null", "--rootdir", str(suite), "-p", "no:cacheprovider"]
    options.append(f"--junitxml={report}")
    pyopencl_cache = {"XDG_CACHE_HOME": str(CACHE / f"xdg-{report.stem}")}
    done = run(
        sys.executable, "-m", "pytest", *options, *files,
        environment=pyopencl_cache, cwd=suite, limit=3600,
    )  # fmt: skip
    assert report.is_file(), done.stdout + done.stderr
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        ends = [child for child in case if child.tag in ("failure", "error", "skipped")]
        found[name] = f"{ends[0].tag}: {ends[0].get('message')}" if ends else "passed"
    return found


def compare(host: Host, suite: Path, files: Sequence[str], least: int, folder: Path) -> None:
    bare = results(run_bare, suite, files, folder / "bare.xml")
    passed = {name for name, end in bare.items() if end == "passed"}
    assert len(passed) >= least, bare
    leased = results(partial(run_leased, host, options=LEASE), suite, files, folder / "leased.xml")
    assert {name: leased.get(name) for name in passed if leased.get(name) != "passed"} == {}


def test_the_quick_part(host: Host, suite: Path, tmp_path: Path) -> None:
    compare(host, suite, QUICK, LEAST["quick"], tmp_path)


@pytest.mark.slow
def test_all_of_it(host: Host, suite: Path, tmp_path: Path) -> None:
    compare(host, suite, (), LEAST["full"], tmp_path)
