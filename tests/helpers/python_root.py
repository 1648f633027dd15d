# SPDX-License-Identifier: Apache-2.0
"""Puts this Python, and packages that it has, into the root of a container image."""

from __future__ import annotations

import compileall
import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from helpers.roots import libraries

SITE = "site"  # the folder of the packages in the image
# Also what nobody here imports and is large.
_NEVER = [
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "config-*"),
    *("site-packages", "dist-packages", "*.opt-*.pyc", "*.a", "*.pyi", "_test*", "_tkinter*"),
]
VARIABLES = {
    "PYTHONPATH": f"/{SITE}",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OPENCL_PATH": "/opencl.so",
}


def add_python(root: Path, packages: Sequence[str]) -> str:
    """Adds the interpreter at the place where it is here; its path."""
    program = Path(sys.executable).resolve()
    library = Path(os.__file__).resolve().parent
    _copy(program, root)
    _copy_tree(library, _in(root, library))
    installed = Path(sysconfig.get_paths()["platlib"])
    for name in packages:
        _copy_tree(installed / name, root / SITE / name)
    # An emulated machine needs minutes to compile what it imports.
    compileall.compile_dir(root / SITE, quiet=2)
    needed: set[str] = set(libraries(str(program)))
    for module in [*_in(root, library).rglob("*.so"), *(root / SITE).rglob("*.so")]:
        needed.update(libraries(str(module)))
    for file in needed:
        if not Path(file).is_relative_to(root):
            _copy(Path(file), root)
    loader = next(path for path in libraries("/usr/bin/clinfo") if "libOpenCL" in path)
    (root / "opencl.so").unlink(missing_ok=True)
    shutil.copy(os.path.realpath(loader), root / "opencl.so")
    return str(program)


def _in(root: Path, path: Path) -> Path:
    return root / str(path).lstrip("/")


def _copy(file: Path, root: Path) -> None:
    target = _in(root, file)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(os.path.realpath(file), target)


def _copy_tree(source: Path, target: Path) -> None:
    """Times and all: a module's compiled form knows the time of its source."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_NEVER), dirs_exist_ok=True)
