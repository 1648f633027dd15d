# SPDX-License-Identifier: Apache-2.0
"""What uses a PCI function through the driver that it has now.

It is asked before a driver is told to let go, because that cannot be taken back: some drivers wait inside of
the kernel until the last process has closed their device, and a disk that is mounted is simply gone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from tessera.direct.files import Files

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_DEEPEST = 6
_UP = 1
_NVIDIA = "proc/driver/nvidia/gpus"


class Openers:
    """One look at which process has which device node open."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._by_node: dict[str, list[str]] | None = None

    def of(self, node: str) -> list[str]:
        """The processes that have /dev/`node` open, as `name (pid)`."""
        if self._by_node is None:
            self._by_node = {}
            for name, opened in self._look():
                self._by_node.setdefault(opened, []).append(name)
        return self._by_node.get(node, [])

    def _look(self) -> Iterator[tuple[str, str]]:
        proc = self._files.root / "proc"
        for pid in filter(str.isdecimal, self._files.names(proc)):
            folder = proc / pid / "fd"
            nodes = {self._node(folder / name) for name in self._files.names(folder)} - {None}
            name = f"{self._files.text(proc / pid / 'comm') or 'a process'} ({pid})"
            yield from ((name, node) for node in nodes if node)

    def _node(self, descriptor: Path) -> str | None:
        try:
            target = os.readlink(descriptor)
        except OSError:
            return None
        return target.removeprefix("/dev/") if target.startswith("/dev/") else None


def users_of(files: Files, folder: Path, openers: Openers) -> tuple[str, ...]:
    """In words; empty where the driver can let go of the function in `folder`."""
    found = []
    for place in _devices_below(folder):
        name = place.name
        if (place / "flags").exists() and (files.number(place / "flags") or 0) & _UP:
            found.append(f"network interface {name}, which is up")
        if number := files.text(place / "dev"):
            found += [f"{name}, mounted at {path}" for path in _mounts(files, number)]
            found += [f"{name}, used by {holder}" for holder in files.names(place / "holders")]
            found += [f"/dev/{node}, open in {who}" for node in _node(files, place)
                      for who in openers.of(node)]  # fmt: skip
    node = _nvidia_node(files, folder.name)
    if node:
        found += [f"/dev/{node}, open in {who}" for who in openers.of(node)]
    return tuple(dict.fromkeys(found))


def _devices_below(folder: Path) -> Iterator[Path]:
    """The devices that the function's driver has made; other functions behind a bridge are not its own."""
    start = len(folder.parts)
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = [
            name
            for name in sorted(folders)
            if not _ADDRESS.fullmatch(name) and len(here.parts) - start < _DEEPEST
        ]
        if here != folder and ("dev" in names or "flags" in names):
            yield here


def _mounts(files: Files, number: str) -> list[str]:
    found = []
    for line in (files.text(files.root / "proc/self/mountinfo") or "").splitlines():
        words = line.split()
        if len(words) > 4 and words[2] == number:
            found.append(words[4])
    return found


def _node(files: Files, place: Path) -> Iterator[str]:
    for line in (files.text(place / "uevent") or "").splitlines():
        name, _, value = line.partition("=")
        if name == "DEVNAME":
            yield value.removeprefix("/dev/")


def _nvidia_node(files: Files, address: str) -> str | None:
    """NVIDIA's driver makes its nodes by itself, and sysfs knows nothing of them."""
    text = files.text(files.root / _NVIDIA / address / "information") or ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "Device Minor" and value.strip().isdecimal():
            return f"nvidia{value.strip()}"
    return None
