# SPDX-License-Identifier: Apache-2.0
"""Fixtures of all tests.

The native programs are taken from the build tree, so that a rebuild needs no install step before a test;
TESSERA_NATIVE_DIR chooses another one, such as build/asan/bin.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers import fakes
from helpers.host import Host

pytest_plugins = ["helpers.machines"]

ROOT = Path(__file__).resolve().parent.parent

os.environ.setdefault("TESSERA_NATIVE_DIR", str(ROOT / "build" / "release" / "bin"))
os.environ.setdefault("OCL_ICD_VENDORS", "/etc/OpenCL/vendors")

# A shell's background jobs ignore interrupts, and those of nohup a hangup; so would every program that a test
# starts and signals. What has a handler here has none there.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for _ignored in (signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(_ignored) == signal.SIG_IGN:
        signal.signal(_ignored, lambda _number, _frame: None)


@contextmanager
def _short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tsr-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A private folder whose path leaves room for a socket's name, unlike pytest's own tmp_path."""
    with _short_folder() as folder:
        yield folder


@pytest.fixture
def host(short_folder: Path) -> Iterator[Host]:
    """A host with the real native programs."""
    host = Host(short_folder)
    yield host
    host.close()


@pytest.fixture
def fake_host(short_folder: Path) -> Iterator[Host]:
    """A host whose native programs are fakes, with two GPUs; for what needs no device."""
    host = Host(short_folder, fakes.install(short_folder / "native"))
    yield host
    host.close()


@pytest.fixture(scope="module")
def shared_fake_host() -> Iterator[Host]:
    """One fake host for all tests of a file that leave its daemon and its fakes alone."""
    with _short_folder() as folder:
        host = Host(folder, fakes.install(folder / "native"))
        yield host
        host.close()
