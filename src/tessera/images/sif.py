# SPDX-License-Identifier: Apache-2.0
"""The Singularity Image Format, version 1: what its bytes mean.

A file is a header of 128 bytes, a table of descriptors (48 of them, 585 bytes each, from byte 4096 where
nobody chose otherwise), and behind it the data objects that the descriptors point to. All numbers are
little-endian. A descriptor ends with 384 bytes whose meaning depends on the type of its object:

    Partition       file system, part, processor      int32 int32 char[3]
    Signature       hash, fingerprint of the signer   int32 byte[20]
    CryptoMessage   format, kind of message           int32 int32
    SBOM            format                            int32
    OCI.RootIndex, OCI.Blob   digest                  text
    all others      nothing

This page holds the words; tessera.images.sif_reader reads files, and tessera.images.sif_writer writes them.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from pydantic import BaseModel, ConfigDict

MAGIC = b"SIF_MAGIC\0"
VERSION = b"01\0"
LAUNCH = b"#!/usr/bin/env run-singularity\n\0"
# launch, magic, version, architecture, id, created, modified, free, total, offset, size, data, data size
HEADER = struct.Struct("<32s10s3s3s16s8q")
# type, used, id, group, link, offset, size, padded size, created, modified, uid, gid, name, extra
DESCRIPTOR = struct.Struct("<i?III7q128s384s")

DESCRIPTORS = 48
DESCRIPTORS_OFFSET = 4096
DATA_OFFSET = 32768
GROUP = 0xF0000000  # marks ids that are groups

PARTITION = struct.Struct("<ii3s")
SIGNATURE = struct.Struct("<i20s")
CRYPTO_MESSAGE = struct.Struct("<ii")
SBOM = struct.Struct("<i")


class DataType(IntEnum):
    """What a data object is."""

    DEFINITION = 0x4001
    ENVIRONMENT = 0x4002
    LABELS = 0x4003
    PARTITION = 0x4004
    SIGNATURE = 0x4005
    GENERIC_JSON = 0x4006
    GENERIC = 0x4007
    CRYPTO_MESSAGE = 0x4008
    SBOM = 0x4009
    OCI_ROOT_INDEX = 0x400A
    OCI_BLOB = 0x400B


class FileSystem(IntEnum):
    """What a partition is formatted with."""

    SQUASHFS = 1
    EXT3 = 2
    ARCHIVE = 3
    RAW = 4
    ENCRYPTED_SQUASHFS = 5


class Part(IntEnum):
    """What a partition is for."""

    SYSTEM = 1
    PRIMARY = 2
    DATA = 3
    OVERLAY = 4


class Hash(IntEnum):
    """What a signature was made over."""

    SHA256 = 1
    SHA384 = 2
    SHA512 = 3
    BLAKE2S = 4
    BLAKE2B = 5


class MessageFormat(IntEnum):
    """How a cryptographic message is written."""

    OPENPGP = 1
    PEM = 2


class MessageKind(IntEnum):
    """What a cryptographic message holds."""

    CLEAR_SIGNATURE = 0x100
    RSA_OAEP = 0x200


class SbomFormat(IntEnum):
    """How a bill of materials is written."""

    CYCLONEDX_JSON = 1
    CYCLONEDX_XML = 2
    GITHUB_JSON = 3
    SPDX_JSON = 4
    SPDX_RDF = 5
    SPDX_TAG_VALUE = 6
    SPDX_YAML = 7
    SYFT_JSON = 8


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Partition(_Frozen):
    """A file system; `architecture` is OCI's name, empty where the code is unknown."""

    file_system: FileSystem
    part: Part
    architecture: str


class Signature(_Frozen):
    """A signature of other objects; `fingerprint` is its signer's, in hex."""

    hash: Hash
    fingerprint: str


class CryptoMessage(_Frozen):
    """Such as the key of an encrypted partition."""

    format: MessageFormat
    kind: MessageKind


class Sbom(_Frozen):
    """A software bill of materials."""

    format: SbomFormat


class OciDigest(_Frozen):
    """The digest of an OCI blob."""

    digest: str


Extra = Partition | Signature | CryptoMessage | Sbom | OciDigest


class Descriptor(_Frozen):
    """One data object. Offsets and sizes in bytes; times in seconds since 1970; 0: no group, no link."""

    type: DataType
    id: int
    group: int
    link: int
    link_is_group: bool
    offset: int
    size: int
    created: int
    modified: int
    name: str
    extra: Extra | None = None

    @property
    def end(self) -> int:
        return self.offset + self.size


class Header(_Frozen):
    """The header of a file. Sizes and offsets in bytes; times in seconds since 1970."""

    architecture: str
    id: str
    created: int
    modified: int
    descriptors_free: int
    descriptors_total: int
    descriptors_offset: int
    descriptors_size: int
    data_offset: int
    data_size: int


class Sif(_Frozen):
    """A file that was read and found sound; the objects in the order of their descriptors."""

    size: int
    header: Header
    descriptors: tuple[Descriptor, ...]
    primary: Descriptor

    @property
    def architecture(self) -> str:
        """OCI's name of the processor that the primary partition is for."""
        partition = self.primary.extra
        assert isinstance(partition, Partition)
        return partition.architecture

    @property
    def signed(self) -> bool:
        return any(found.type is DataType.SIGNATURE for found in self.descriptors)
