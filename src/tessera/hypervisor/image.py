# SPDX-License-Identifier: Apache-2.0
"""Finds the file system inside a container image, which a machine gets as its disk.

A SIF file (the format of Singularity and Apptainer) begins with a header of 128 bytes; a table of
descriptors says what lies where. The root of the container is the primary system partition, a squashfs.
"""

from __future__ import annotations

import os
import platform
import struct
from pathlib import Path
from typing import BinaryIO

from tessera.hypervisor.base import Disk
from tessera.model.errors import ImageNotFound, ImageOfOtherArchitecture, NotAnImage

_MAGIC = b"SIF_MAGIC\0"
# launch script, magic, version, architecture, id, then 8 numbers: times, descriptors, data
_HEADER = struct.Struct("<32s10s3s3s16s8q")
_DESCRIPTORS_TOTAL, _DESCRIPTORS_AT = 3, 4
# kind, in use, id, group, link, offset, size, size with padding, times and owner, name, the kind's own
_DESCRIPTOR = struct.Struct("<i?III7q128s384s")
_MOST_DESCRIPTORS = 4096
_PARTITION = 0x4004
_OFFSET, _SIZE, _EXTRA = 5, 6, 13
# file system, part, architecture: of a partition
_PARTITION_EXTRA = struct.Struct("<ii3s")
_SQUASHFS, _PRIMARY = 1, 2
_SQUASHFS_MAGIC = b"hsqs"
_ARCHITECTURES = {b"01": "i686", b"02": "x86_64", b"03": "arm", b"04": "aarch64", b"09": "s390x"}


def root_disk(path: Path) -> Disk:
    """Where the root of the container in this SIF file lies.

    Raises ImageNotFound, NotAnImage or ImageOfOtherArchitecture.
    """
    try:
        with path.open("rb") as file:
            return _found(path, file)
    except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError) as error:
        raise ImageNotFound(
            f"{path} cannot be read: {error.strerror}.", "Name a container image (a SIF file)."
        ) from error
    except (OSError, struct.error) as error:
        raise _no_image(path, "it is damaged or cut short") from error


def _no_image(path: Path, why: str) -> NotAnImage:
    return NotAnImage(f"{path} is no container image: {why}.", "Name a SIF file.")


def _found(path: Path, file: BinaryIO) -> Disk:
    head = file.read(_HEADER.size)
    if len(head) < _HEADER.size or _HEADER.unpack(head)[1] != _MAGIC:
        raise _no_image(path, "it does not begin as a SIF file does")
    numbers = _HEADER.unpack(head)[5:]
    count, at = numbers[_DESCRIPTORS_TOTAL], numbers[_DESCRIPTORS_AT]
    if not 0 <= count <= _MOST_DESCRIPTORS or at < 0:
        raise _no_image(path, "its table of contents makes no sense")
    file.seek(at)
    for _ in range(count):
        fields = _DESCRIPTOR.unpack(file.read(_DESCRIPTOR.size))
        kind, used = fields[0], fields[1]
        system, part, architecture = _PARTITION_EXTRA.unpack_from(fields[_EXTRA])
        if kind == _PARTITION and used and part == _PRIMARY:
            _check_architecture(path, architecture)
            if system != _SQUASHFS:
                raise _no_image(path, "its root is no squashfs")
            return _checked(path, file, Disk(path, fields[_OFFSET], fields[_SIZE]))
    raise _no_image(path, "it has no primary partition")


def _check_architecture(path: Path, code: bytes) -> None:
    there = _ARCHITECTURES.get(code.rstrip(b"\0"), "an unknown processor")
    if there != platform.machine():
        raise ImageOfOtherArchitecture(
            f"{path} is made for {there}, this host is {platform.machine()}.",
            f"Name an image for {platform.machine()}.",
        )


def _checked(path: Path, file: BinaryIO, disk: Disk) -> Disk:
    end = os.fstat(file.fileno()).st_size
    if not (0 <= disk.offset and 0 < disk.size and disk.offset + disk.size <= end):
        raise _no_image(path, "its root lies outside of the file")
    file.seek(disk.offset)
    if file.read(4) != _SQUASHFS_MAGIC:
        raise _no_image(path, "its root is no squashfs")
    return disk
