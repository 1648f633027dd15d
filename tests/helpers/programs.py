# SPDX-License-Identifier: Apache-2.0
"""Runs unmodified programs on the bare device and through a lease."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from helpers.host import TESSERA, Host

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".cache"
BARE_VENDORS = "/etc/OpenCL/vendors"

# run_bare, or run_leased with its host.
Run = Callable[..., subprocess.CompletedProcess[str]]


def native(name: str) -> str:
    """The path of a native test program; a test never passes for want of one."""
    path = Path(os.environ["TESSERA_NATIVE_DIR"]) / name
    if not path.is_file():
        pytest.fail(f"{path} is not there: run `make test`, which builds it.", pytrace=False)
    return str(path)


def installed(name: str, package: str = "") -> str:
    """The path of a program that only slow tests use; skips the test where it is not installed."""
    path = shutil.which(name)
    if not path:
        pytest.skip(
            f"{name} is not installed: `apt-get install {package or name}`, or run `scripts/setup slow`."
        )
    return path


def kernel_cache() -> str:
    """A folder for the embedded device's compiled kernels that outlives the test."""
    folder = CACHE / "pocl"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def device_environment() -> dict[str, str]:
    """What fixes the embedded device: it takes its size from the machine's memory, which in a virtual
    machine may change from one moment to the next."""
    return {"POCL_CACHE_DIR": kernel_cache(), "POCL_MEMORY_LIMIT": "4"}


def bare_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a program sees that no lease has touched."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")
    }
    return {
        **environment,
        "OCL_ICD_VENDORS": BARE_VENDORS,
        **device_environment(),
        **(more or {}),
    }


def run_bare(
    *command: str,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    limit: float = 300.0,
) -> subprocess.CompletedProcess[str]:
    """Runs `command` on the bare device; `limit` in seconds. Raises subprocess.TimeoutExpired."""
    return _run(command, bare_environment(environment), cwd, limit)


def run_leased(
    host: Host,
    *command: str,
    options: Sequence[str] = ("--fraction", "1/4"),
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    limit: float = 300.0,
) -> subprocess.CompletedProcess[str]:
    """Runs `command` through `tessera run`; `limit` in seconds. Raises subprocess.TimeoutExpired."""
    words = (*TESSERA, "run", *options, "--", *command)
    return _run(words, {**host.environment, **(environment or {})}, cwd, limit)


def _run(
    words: Sequence[str], environment: Mapping[str, str], cwd: Path | None, limit: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(words),
        env=dict(environment),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=limit,
        check=False,
    )
