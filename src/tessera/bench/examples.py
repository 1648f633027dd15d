# SPDX-License-Identifier: Apache-2.0
"""Finds the example programs and imports one as a module. They know nothing of Tessera."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

from tessera.bench.errors import BenchPackageMissing, ExampleMissing

WORKLOADS = ("language_model", "image_classifier", "nbody", "online_digits")


class Work(Protocol):
    """What every example offers: steps that can be run a few at a time, and a result to compare."""

    unit: str

    def run(self, steps: int) -> float: ...

    def checksum(self) -> str: ...


class _Example(Protocol):
    def create(self, arguments: Sequence[str]) -> Work: ...


def folders() -> list[Path]:
    """Where examples may be: $TESSERA_EXAMPLES, the installed package, the source tree."""
    here = Path(__file__).resolve()
    chosen = os.environ.get("TESSERA_EXAMPLES")
    found = [here.parents[1] / "_examples", here.parents[3] / "examples"]
    return [Path(chosen), *found] if chosen else found


def find_example(name: str) -> Path:
    """The file of the example. Raises ExampleMissing."""
    for folder in folders():
        if (folder / f"{name}.py").is_file():
            return folder / f"{name}.py"
    raise ExampleMissing(
        f"{name}.py is not in {' or '.join(map(str, folders()))}.",
        "Set TESSERA_EXAMPLES to the folder that holds it.",
    )


def open_example(name: str, arguments: Sequence[str]) -> Work:
    """The example's work, before its first step. Raises ExampleMissing or BenchPackageMissing."""
    path = find_example(name)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ExampleMissing(f"{path} cannot be imported.", "It should be a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise BenchPackageMissing(
            f"{path.name} needs the package '{error.name}'.", "Run `make setup`."
        ) from error
    return cast(_Example, module).create(arguments)
