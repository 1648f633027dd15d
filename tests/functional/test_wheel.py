# SPDX-License-Identifier: Apache-2.0
"""The wheel, installed where nothing of the source tree is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.programs import ROOT, device_environment


def run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_installed_wheel_runs_a_program_on_a_piece(short_folder: Path) -> None:
    options: list[str | Path] = [
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        short_folder,
    ]
    run(sys.executable, "-m", "pip", "wheel", *options, ROOT)
    (wheel,) = short_folder.glob("*.whl")
    run(sys.executable, "-m", "venv", short_folder / "venv")
    programs = short_folder / "venv" / "bin"
    run(programs / "python", "-m", "pip", "install", "-q", wheel)
    folders = {"TESSERA_RUNTIME_DIR": "run", "TESSERA_STATE_DIR": "state"}
    environment = {name: str(short_folder / path) for name, path in folders.items()}
    # The test's own environment would lead back to the source tree.
    environment |= device_environment() | {"TESSERA_NATIVE_DIR": "", "PYTHONPATH": ""}
    tessera = programs / "tessera"
    words: list[str | Path] = [tessera, "run", "--fraction", "1/4", "--", "clinfo", "--raw"]
    try:
        assert "CL_PLATFORM_NAME                                Tessera" in run(
            *words, environment=environment
        )
    finally:
        run(tessera, "daemon", "--stop", environment=environment)
