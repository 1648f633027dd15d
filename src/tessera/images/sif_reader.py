# SPDX-License-Identifier: Apache-2.0
"""Reads a SIF file from a stranger.

Nothing of it is believed: every offset, size, count and code is checked against the file and against the
others before something is read through it, objects may neither overlap each other nor the tables, and links
must lead to objects and not in circles. What passes is sound as a container; the file system inside is
looked at only as far as its superblock, because nothing on the host ever unpacks it: it is mounted by an
unprivileged process, or inside a virtual machine.
"""

from __future__ import annotations

import os
import stat
import uuid
from enum import IntEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from tessera.images import sif, squashfs
from tessera.images.architecture import BY_SIF_CODE
from tessera.images.config import OBJECT_NAME, ImageConfig, parse_config
from tessera.images.limits import MAX_DESCRIPTORS, MAX_DOCUMENT, most_bytes, too_large
from tessera.images.sif import DataType, Descriptor, Extra, FileSystem, Header, Part, Sif
from tessera.images.text import printable
from tessera.model.errors import (
    ImageDamaged,
    ImageEncrypted,
    ImageNotFound,
    ImageUnsupported,
    NotAnImage,
)

Code = TypeVar("Code", bound=IntEnum)

_AGAIN = "Get the file again, or ask who made it."


def open_sif(path: Path | str) -> int:
    """A descriptor of the file at `path`, for reading; the caller closes it.

    Raises ImageNotFound, NotAnImage.
    """
    try:
        # Without waiting: the path may be a pipe that nobody writes to.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ImageNotFound(
            f"{path} cannot be opened: {error.strerror}.", "Check the path of the image."
        ) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotAnImage(f"{path} is not a file.", "Name a SIF file.")
    return fd


def looks_like_sif(path: Path) -> bool:
    """Whether the file at `path` begins as SIF files do."""
    try:
        with open(path, "rb") as file:
            head = file.read(sif.HEADER.size)
    except OSError:
        return False
    return head[len(sif.LAUNCH) :].startswith(sif.MAGIC)


def read_sif(fd: int) -> Sif:
    """What an open file holds. Raises NotAnImage, ImageDamaged, ImageTooLarge, ImageUnsupported."""
    size = os.fstat(fd).st_size
    if size > most_bytes():
        raise too_large("The file", size)
    header = _header(fd, size)
    descriptors = _descriptors(fd, header, size)
    _check_places(header, descriptors)
    _check_links(descriptors)
    primary = _primary(descriptors, header)
    squashfs.check_superblock(fd, primary.offset, primary.size)
    return Sif(size=size, header=header, descriptors=descriptors, primary=primary)


def read_config(fd: int, image: Sif) -> ImageConfig:
    """The config that the image carries, an empty one where it has none. Raises ImageDamaged."""
    for found in image.descriptors:
        if found.type is DataType.GENERIC_JSON and found.name == OBJECT_NAME:
            if found.size > MAX_DOCUMENT:
                raise _damaged(f"its {OBJECT_NAME} has {found.size} bytes")
            return parse_config(os.pread(fd, found.size, found.offset))
    return ImageConfig()


def _damaged(what: str) -> ImageDamaged:
    return ImageDamaged(f"The SIF file is damaged: {what}.", _AGAIN)


def _header(fd: int, size: int) -> Header:
    raw = os.pread(fd, sif.HEADER.size, 0)
    if raw[len(sif.LAUNCH) :][: len(sif.MAGIC)] != sif.MAGIC:
        raise NotAnImage(
            "This is no SIF file: its magic is missing.", "Name a SIF file or an OCI layout."
        )
    if len(raw) < sif.HEADER.size:
        raise _damaged("it ends inside its header")
    _, _, version, code, identity, *numbers = sif.HEADER.unpack(raw)
    if version != sif.VERSION:
        raise ImageUnsupported(
            f"The SIF file has version {_shown(version)}, and Tessera reads 01.",
            "Build it again with a tool that writes SIF version 01.",
        )
    created, modified, free, total, offset, table, data, data_size = numbers
    header = Header(
        architecture=_architecture(code),
        id=str(uuid.UUID(bytes=identity)),
        created=created,
        modified=modified,
        descriptors_free=free,
        descriptors_total=total,
        descriptors_offset=offset,
        descriptors_size=table,
        data_offset=data,
        data_size=data_size,
    )
    _check_header(header, size)
    return header


def _check_header(header: Header, size: int) -> None:
    total, table = header.descriptors_total, header.descriptors_size
    if not 0 < total <= MAX_DESCRIPTORS:
        raise _damaged(f"it claims {total} descriptors, and may have 1 to {MAX_DESCRIPTORS}")
    if table != total * sif.DESCRIPTOR.size:
        raise _damaged(f"{total} descriptors do not have {table} bytes")
    if not 0 <= header.descriptors_free <= total:
        raise _damaged(f"{header.descriptors_free} of {total} descriptors cannot be free")
    if header.descriptors_offset < sif.HEADER.size:
        raise _damaged("its descriptors lie inside its header")
    if header.descriptors_offset + table > size:
        raise _damaged("it ends inside its descriptors")
    if header.data_offset < header.descriptors_offset + table:
        raise _damaged("its data lie inside its descriptors")
    if header.data_size < 0 or header.data_offset + header.data_size > size:
        raise _damaged("it ends inside its data")


def _descriptors(fd: int, header: Header, size: int) -> tuple[Descriptor, ...]:
    table = os.pread(fd, header.descriptors_size, header.descriptors_offset)
    used = [fields for fields in sif.DESCRIPTOR.iter_unpack(table) if fields[1]]
    if len(used) != header.descriptors_total - header.descriptors_free:
        raise _damaged(
            f"{len(used)} descriptors are used, and its header says that "
            f"{header.descriptors_free} of {header.descriptors_total} are free"
        )
    return tuple(_descriptor(fields, size) for fields in used)


def _descriptor(fields: tuple[Any, ...], file_size: int) -> Descriptor:
    kind, _, number, group, link, *rest = fields
    offset, size, padded, created, modified, _, _, name, extra = rest
    what = f"data object {number}"
    if not 0 < number < sif.GROUP:
        raise _damaged(f"{number} is no id of a data object")
    if offset < 0 or size < 0 or offset + size > file_size:
        raise _damaged(f"{what} does not lie inside the file")
    if not size <= padded <= file_size:
        raise _damaged(f"{what} has {size} bytes, and {padded} with its padding")
    data_type = _code(DataType, kind, f"the type of {what}")
    return Descriptor.model_validate(
        {
            "type": data_type,
            "id": number,
            "group": group & ~sif.GROUP,
            "link": link & ~sif.GROUP,
            "link_is_group": link & sif.GROUP == sif.GROUP,
            "offset": offset,
            "size": size,
            "created": created,
            "modified": modified,
            "name": _shown(name),
            "extra": _extra(data_type, extra, what),
        }
    )


def _extra(kind: DataType, raw: bytes, what: str) -> Extra | None:
    if kind is DataType.PARTITION:
        file_system, part, code = sif.PARTITION.unpack_from(raw)
        return sif.Partition(
            file_system=_code(FileSystem, file_system, f"the file system of {what}"),
            part=_code(Part, part, f"the part of {what}"),
            architecture=_architecture(code),
        )
    if kind is DataType.SIGNATURE:
        hashed, fingerprint = sif.SIGNATURE.unpack_from(raw)
        return sif.Signature(
            hash=_code(sif.Hash, hashed, f"the hash of {what}"), fingerprint=fingerprint.hex()
        )
    if kind is DataType.CRYPTO_MESSAGE:
        form, message = sif.CRYPTO_MESSAGE.unpack_from(raw)
        return sif.CryptoMessage(
            format=_code(sif.MessageFormat, form, f"the format of {what}"),
            kind=_code(sif.MessageKind, message, f"the kind of {what}"),
        )
    if kind is DataType.SBOM:
        (form,) = sif.SBOM.unpack_from(raw)
        return sif.Sbom(format=_code(sif.SbomFormat, form, f"the format of {what}"))
    if kind in (DataType.OCI_ROOT_INDEX, DataType.OCI_BLOB):
        return sif.OciDigest(digest=_shown(raw))
    return None


def _code(codes: type[Code], value: int, what: str) -> Code:
    try:
        return codes(value)
    except ValueError as error:
        raise ImageUnsupported(
            f"In the SIF file, {what} is {value}, which SIF version 01 does not know.",
            "Build it again with a tool that writes SIF version 01.",
        ) from error


def _architecture(code: bytes) -> str:
    return BY_SIF_CODE.get(_shown(code), "")


def _shown(raw: bytes) -> str:
    """Text up to the first zero byte; what is no text is shown as such."""
    return printable(raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace"))


def _check_places(header: Header, descriptors: tuple[Descriptor, ...]) -> None:
    filled = sorted((found for found in descriptors if found.size), key=lambda one: one.offset)
    for found in filled:
        if found.offset < header.data_offset or found.end > header.data_offset + header.data_size:
            raise _damaged(f"data object {found.id} lies outside of the data")
    for one, following in pairwise(filled):
        if following.offset < one.end:
            raise _damaged(f"data objects {one.id} and {following.id} overlap")


def _check_links(descriptors: tuple[Descriptor, ...]) -> None:
    objects = {found.id: found for found in descriptors}
    if len(objects) != len(descriptors):
        raise _damaged("two data objects have the same id")
    groups = {found.group for found in descriptors if found.group}
    for found in descriptors:
        if found.link_is_group and found.link and found.link not in groups:
            raise _damaged(f"data object {found.id} is linked to a group that is not there")
        _follow(found, objects)


def _follow(start: Descriptor, objects: dict[int, Descriptor]) -> None:
    seen, found = set(), start
    while found.link and not found.link_is_group:
        if found.id in seen:
            raise _damaged(f"the links of data object {start.id} lead in a circle")
        seen.add(found.id)
        if found.link not in objects:
            raise _damaged(f"data object {found.id} is linked to {found.link}, which is not there")
        found = objects[found.link]


def _primary(descriptors: tuple[Descriptor, ...], header: Header) -> Descriptor:
    partitions = [(one, one.extra) for one in descriptors if isinstance(one.extra, sif.Partition)]
    primary = [(one, extra) for one, extra in partitions if extra.part is Part.PRIMARY]
    if not primary and any(one.type is DataType.OCI_ROOT_INDEX for one in descriptors):
        raise ImageUnsupported(
            "The SIF file holds an OCI image and no file system of its own.",
            "Write the image as an OCI layout, and add that.",
        )
    if len(primary) != 1:
        raise _damaged(f"it has {len(primary)} primary partitions, and must have one")
    (found, facts) = primary[0]
    _check_file_system(facts.file_system)
    if facts.architecture != header.architecture:
        raise _damaged("its header and its primary partition name different processors")
    return found


def _check_file_system(found: FileSystem) -> None:
    if found is FileSystem.ENCRYPTED_SQUASHFS:
        raise ImageEncrypted(
            "The SIF file is encrypted, and Tessera has no key for it.",
            "Build it without encryption.",
        )
    if found is not FileSystem.SQUASHFS:
        raise ImageUnsupported(
            f"The SIF file's file system is {found.name}, and Tessera runs squashfs.",
            "Build it again: SIF files have held a squashfs since Singularity 3.",
        )
