# SPDX-License-Identifier: Apache-2.0
"""A suspended machine on the disk: a folder whose manifest says what is whole.

    session-N.state       what each session of the lease had on its GPUs (native/opencl/worker/state_file.h)
    machine.memory        the guest's memory, each page at its place, zeros as holes
    machine.state         the rest of the machine, in the form of its hypervisor
    manifest              a checksum for each MiB of each of them; written last, so that either all is there
                          and belongs together, or nothing is

A guest goes on before all of its memory was read, so its checksums cannot have been looked at by then. What
was written by us and not touched since (the same file, by device, inode and the time of its last change) is
therefore believed at first, and looked at while the guest runs. Any other file, such as one that was put
back from a copy, is read to its end before. (Looking at each page when the guest touches it was refused: the
page would have to be brought by a handler of ours, at each first touch, for ever.)
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tessera.model.errors import StateFileDamaged, StateFileOtherVersion

MEMORY, STATE, MANIFEST = "machine.memory", "machine.state", "manifest"
PIECE = 1 << 20
VERSION = 1
_ZEROS = bytes(PIECE)
_MOST = 64 << 20  # bytes of a manifest, or of a state, that are read
_HINT = "Put a whole copy of the file back and resume again, or stop the lease."


class Part(BaseModel):
    """A file: which it is, and the CRC-32 of each of its pieces."""

    model_config = ConfigDict(frozen=True)

    size: int
    device: int
    inode: int
    changed_ns: int
    sums: tuple[int, ...]


class Manifest(BaseModel):
    """What belongs together. `hypervisor` is the fingerprint of the one that can read the state."""

    model_config = ConfigDict(frozen=True)

    version: int
    lease: str
    hypervisor: str
    parts: dict[str, Part]


def create(folder: Path) -> tuple[int, int]:
    """New files for memory and state. Nobody but the folder's owner gets at them by name, and the
    hypervisor, who is nobody, by a descriptor that it is given. Raises OSError."""
    made: list[int] = []
    for name in (MEMORY, STATE):
        (folder / name).unlink(missing_ok=True)
        made.append(
            os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        )
    os.fchmod(made[0], 0o666)
    return made[0], made[1]


def seal(folder: Path, lease: str, hypervisor: str) -> None:
    """Writes the manifest of all that lies in the folder. All of it is on the disk when this returns.

    Raises OSError.
    """
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith(MANIFEST))
    parts = {name: _part(folder / name) for name in names}
    manifest = Manifest(version=VERSION, lease=lease, hypervisor=hypervisor, parts=parts)
    text = manifest.model_dump_json().encode()
    fresh = folder / f"{MANIFEST}.new"
    with fresh.open("wb") as out:
        out.write(text + b"\n%08x\n" % zlib.crc32(text))
        out.flush()
        os.fsync(out.fileno())
    fresh.rename(folder / MANIFEST)
    with _opened(folder, os.O_DIRECTORY) as descriptor:
        os.fsync(descriptor)


def is_sealed(folder: Path) -> bool:
    return (folder / MANIFEST).exists()


@contextmanager
def opened(folder: Path) -> Iterator[tuple[int, int, int]]:
    """Memory, state and manifest, to be read. Raises StateFileDamaged."""
    found: list[int] = []
    try:
        for name in (MEMORY, STATE, MANIFEST):
            try:
                # QEMU opens the memory once more, and is not allowed what this descriptor is not.
                mode = os.O_RDWR if name == MEMORY else os.O_RDONLY
                found.append(os.open(folder / name, mode | os.O_CLOEXEC))
            except OSError as error:
                raise StateFileDamaged(
                    f"{name} cannot be opened: {error.strerror}", _HINT
                ) from error
        yield found[0], found[1], found[2]
    finally:
        for descriptor in found:
            os.close(descriptor)


def read(manifest: int) -> Manifest:
    """Raises StateFileDamaged or StateFileOtherVersion."""
    text, _, sum_line = os.pread(manifest, _MOST, 0).partition(b"\n")
    if sum_line != b"%08x\n" % zlib.crc32(text):
        raise StateFileDamaged("the manifest does not have its checksum", _HINT)
    try:
        found = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise StateFileOtherVersion("the manifest has another form") from error
    if found.version != VERSION:
        raise StateFileOtherVersion(f"the manifest has version {found.version}, not {VERSION}")
    return found


def part_of(manifest: Manifest, name: str, descriptor: int) -> Part:
    """What the manifest says of a file that has the size that it should. Raises StateFileDamaged."""
    part = manifest.parts.get(name)
    if part is None or os.fstat(descriptor).st_size != part.size:
        raise StateFileDamaged(f"{name} is cut short, or is not of this state", _HINT)
    return part


def is_untouched(part: Part, descriptor: int) -> bool:
    """Whether this is the very file that was written, with no change since."""
    return part == part.model_copy(update=_identity(descriptor))


def check(
    name: str, part: Part, descriptor: int, wanted: Callable[[], bool] = lambda: True
) -> None:
    """Reads all of a file, for as long as that is wanted. Raises StateFileDamaged."""
    for number, found in enumerate(_sums(descriptor, part.size)):
        if not wanted():
            return
        if found != part.sums[number]:
            raise StateFileDamaged(f"{name} is damaged in its MiB {number}", _HINT)


def check_sessions(folder: Path) -> None:
    """The lease's part of a state: the workers look at it, too, but cannot tell a whole file of another
    moment. What is missing is for them to tell. Raises StateFileDamaged, StateFileOtherVersion."""
    with opened(folder) as (_, _, manifest):
        found = read(manifest)
    for name, part in found.parts.items():
        if name in (MEMORY, STATE):
            continue
        with suppress(FileNotFoundError), _opened(folder / name) as descriptor:
            if not is_untouched(part_of(found, name, descriptor), descriptor):
                check(name, part, descriptor)


@contextmanager
def _opened(path: Path, mode: int = 0) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _part(path: Path) -> Part:
    with _opened(path) as descriptor:
        sums = tuple(_sums(descriptor, os.fstat(descriptor).st_size))
        os.fsync(descriptor)
        return Part(sums=sums, **_identity(descriptor))


def _identity(descriptor: int) -> dict[str, int]:
    facts = os.fstat(descriptor)
    return {
        "size": facts.st_size,
        "device": facts.st_dev,
        "inode": facts.st_ino,
        "changed_ns": facts.st_ctime_ns,
    }


def _sums(descriptor: int, size: int) -> Iterator[int]:
    for place in range(0, size, PIECE):
        length = min(PIECE, size - place)
        if _is_hole(descriptor, place, length):
            yield zlib.crc32(_ZEROS[:length])
        else:
            yield zlib.crc32(os.pread(descriptor, length, place))


def _is_hole(descriptor: int, place: int, length: int) -> bool:
    try:
        return os.lseek(descriptor, place, os.SEEK_DATA) >= place + length
    except OSError as error:
        return error.errno == errno.ENXIO  # nothing but a hole up to the end
