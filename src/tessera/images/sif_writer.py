# SPDX-License-Identifier: Apache-2.0
"""Writes a SIF file around a squashfs.

Two data objects: the image's config (see tessera.images.config) and the primary partition. The squashfs is
packed straight into its place in the file, and the header is written last, so that no image is ever copied
and a file whose making was cut short is no SIF file. The same content makes the same bytes: the file's id
comes from its config and file system, and its times are the image's own.
"""

from __future__ import annotations

import hashlib
import os
import uuid

from tessera.images import sif
from tessera.images.architecture import SIF_CODES
from tessera.images.config import OBJECT_NAME, ImageConfig
from tessera.images.sif import DataType, FileSystem, Part
from tessera.model.errors import ImageUnsupported

PARTITION_NAME = "rootfs.squashfs"
_PAGE = 4096
_CHUNK = 1 << 20


def partition_offset(config: ImageConfig) -> int:
    """The byte at which the squashfs begins in a file with this config."""
    behind = sif.DATA_OFFSET + len(config.to_json())
    return -(-behind // _PAGE) * _PAGE


def complete(fd: int, config: ImageConfig, architecture: str, created: int) -> None:
    """Makes a SIF file of an open one that holds a squashfs at partition_offset(config), up to its end.

    `created` is in seconds since 1970. Raises ImageUnsupported for a processor that SIF has no code for.
    """
    if architecture not in SIF_CODES:
        raise ImageUnsupported(
            f"SIF files have no code for the processor '{architecture[:40]}'.",
            f"Use one of: {', '.join(SIF_CODES)}.",
        )
    offset, document = partition_offset(config), config.to_json()
    end = os.fstat(fd).st_size
    code = SIF_CODES[architecture].encode() + b"\0"
    partition = sif.PARTITION.pack(FileSystem.SQUASHFS, Part.PRIMARY, code)
    table = _descriptor(
        1, DataType.GENERIC_JSON, sif.DATA_OFFSET, len(document), 0, OBJECT_NAME, b"", created
    )
    padding = offset - sif.DATA_OFFSET - len(document)
    table += _descriptor(
        2, DataType.PARTITION, offset, end - offset, padding, PARTITION_NAME, partition, created
    )
    total = sif.DESCRIPTORS * sif.DESCRIPTOR.size
    os.pwrite(fd, document, sif.DATA_OFFSET)
    os.pwrite(fd, table.ljust(total, b"\0"), sif.DESCRIPTORS_OFFSET)
    header = sif.HEADER.pack(
        sif.LAUNCH,
        sif.MAGIC,
        sif.VERSION,
        code,
        _identity(fd, end).bytes,
        created,
        created,
        sif.DESCRIPTORS - 2,
        sif.DESCRIPTORS,
        sif.DESCRIPTORS_OFFSET,
        total,
        sif.DATA_OFFSET,
        end - sif.DATA_OFFSET,
    )
    os.pwrite(fd, header, 0)


def _descriptor(
    number: int,
    kind: DataType,
    offset: int,
    size: int,
    padding: int,
    name: str,
    extra: bytes,
    created: int,
) -> bytes:
    group = sif.GROUP | 1
    return sif.DESCRIPTOR.pack(
        kind, True, number, group, 0, offset, size, size + padding, created, created, 0, 0,
        name.encode(), extra,
    )  # fmt: skip


def _identity(fd: int, end: int) -> uuid.UUID:
    """An id that the content makes, of UUID's version 8 (one's own making)."""
    digest = hashlib.sha256()
    position = sif.DESCRIPTORS_OFFSET
    while position < end:
        chunk = os.pread(fd, _CHUNK, position)
        if not chunk:
            break
        digest.update(chunk)
        position += len(chunk)
    number = int.from_bytes(digest.digest()[:16], "big")
    number = number & ~(0xF << 76) | 8 << 76
    number = number & ~(0x3 << 62) | 2 << 62
    return uuid.UUID(int=number)
