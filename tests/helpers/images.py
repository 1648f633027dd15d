# SPDX-License-Identifier: Apache-2.0
"""Images made by hand, honest and otherwise, without Tessera's own writers."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import zstandard

from tessera.images import architecture, sif

HERE = architecture.of_this_host()
CODE = architecture.SIF_CODES[HERE].encode() + b"\0"
PRIMARY = struct.pack("<ii3s", 1, 2, CODE)
GZIP_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def superblock(**changes: int) -> bytes:
    """A squashfs of 4096 bytes, as far as its superblock tells."""
    fields = {
        "magic": 0x73717368,
        "inodes": 1,
        "time": 0,
        "block": 1 << 17,
        "fragments": 0,
        "compressor": 6,
        "log": 17,
        "flags": 0,
        "ids": 1,
        "major": 4,
        "minor": 0,
        "root": 0,
        "used": 4096,
        **{f"table{number}": 200 + number for number in range(6)},
    }
    return struct.pack("<5I6H8Q", *(fields | changes).values()).ljust(4096, b"\0")


@dataclass(frozen=True)
class Object:
    """A data object and its descriptor; what is None is as it should be."""

    kind: int
    data: bytes = b""
    extra: bytes = b""
    name: str | bytes = ""
    number: int | None = None
    link: int = 0
    group: int = sif.GROUP | 1
    offset: int | None = None
    size: int | None = None
    padded: int | None = None
    used: bool = True


def primary(**changes: Any) -> Object:
    """The partition that every image needs."""
    given = {"kind": 0x4004, "data": superblock(), "extra": PRIMARY, "name": "root", **changes}
    return Object(**given)


@dataclass(frozen=True)
class SifFile:
    """A SIF file; `header` overrides fields of its header by their place among the numbers."""

    objects: Sequence[Object] = field(default_factory=lambda: (primary(),))
    magic: bytes = b"SIF_MAGIC\0"
    version: bytes = b"01\0"
    code: bytes = CODE
    total: int = 48
    header: dict[str, int] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        table, data = b"", b""
        start = 4096 + 585 * max(self.total, len(self.objects))
        start = max(32768, start)
        for position, one in enumerate(self.objects):
            offset = start + len(data) if one.offset is None else one.offset
            size = len(one.data) if one.size is None else one.size
            data += one.data
            name = one.name.encode() if isinstance(one.name, str) else one.name
            table += struct.pack(
                "<i?III7q128s384s",
                one.kind,
                one.used,
                position + 1 if one.number is None else one.number,
                one.group,
                one.link,
                offset,
                size,
                size if one.padded is None else one.padded,
                1,
                2,
                0,
                0,
                name,
                one.extra,
            )
        used = sum(one.used for one in self.objects)
        numbers = {
            "created": 1,
            "modified": 2,
            "free": self.total - used,
            "total": self.total,
            "offset": 4096,
            "table": 585 * self.total,
            "data": start,
            "data_size": len(data),
            **self.header,
        }
        head = struct.pack(
            "<32s10s3s3s16s8q",
            b"#!/usr/bin/env run-singularity\n",
            self.magic,
            self.version,
            self.code,
            b"0123456789abcdef",
            *numbers.values(),
        )
        return head.ljust(4096, b"\0") + table.ljust(start - 4096, b"\0") + data

    def write(self, folder: Path, name: str = "image.sif") -> Path:
        path = folder / name
        path.write_bytes(self.to_bytes())
        return path


@dataclass(frozen=True)
class Member:
    """A member of a layer."""

    info: tarfile.TarInfo
    data: bytes = b""


def member(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **facts: Any) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(data), 0o644
    for fact, value in facts.items():
        setattr(info, fact, value)
    return Member(info, data)


def file(name: str, text: str = "", **facts: Any) -> Member:
    return member(name, data=text.encode(), **facts)


def folder(name: str, **facts: Any) -> Member:
    return member(name, tarfile.DIRTYPE, **{"mode": 0o755, **facts})


def link(name: str, target: str) -> Member:
    return member(name, tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> Member:
    return member(name, tarfile.LNKTYPE, linkname=target)


def archive(members: Sequence[Member], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, errors="surrogateescape") as tar:
        for one in members:
            tar.addfile(one.info, io.BytesIO(one.data) if one.data else None)
    return out.getvalue()


@dataclass(frozen=True)
class Layer:
    """A layer as it is and as it is named."""

    content: bytes
    packed: bytes
    media_type: str
    diff_id: str | None = None


def layer(members: Sequence[Member] | bytes, method: str = "gzip", **changes: Any) -> Layer:
    """A layer of members, or of the bytes of an archive."""
    content = members if isinstance(members, bytes) else archive(members)
    packed = {
        "tar": lambda: content,
        "gzip": lambda: gzip.compress(content, 1, mtime=0),
        "zstd": lambda: zstandard.compress(content),
    }[method]()
    suffix = "" if method == "tar" else f"+{method}"
    media_type = f"application/vnd.oci.image.layer.v1.tar{suffix}"
    return replace(Layer(content, packed, media_type), **changes)


def digest(data: bytes, kind: str = "sha256") -> str:
    return f"{kind}:{hashlib.new(kind, data).hexdigest()}"


class LayoutFolder:
    """An OCI layout on its way; every document can be changed before it is written."""

    def __init__(self, path: Path, layers: Sequence[Layer], config: Any = None) -> None:
        self.path = path
        self.path.mkdir(exist_ok=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.config: dict[str, Any] = {
            "architecture": HERE,
            "os": "linux",
            "created": "2026-01-02T03:04:05Z",
            "config": config or {},
            "rootfs": {
                "type": "layers",
                "diff_ids": [one.diff_id or digest(one.content) for one in layers],
            },
        }
        self.layers = [
            {"mediaType": one.media_type, **self.blob(one.packed)} for one in layers
        ]  # fmt: skip

    def blob(self, data: bytes, kind: str = "sha256") -> dict[str, Any]:
        """Writes a blob; the reference to it."""
        name = digest(data, kind)
        place = self.path / "blobs" / kind
        place.mkdir(parents=True, exist_ok=True)
        (place / name.partition(":")[2]).write_bytes(data)
        return {"digest": name, "size": len(data)}

    def manifest(self) -> dict[str, Any]:
        """Writes config and manifest; the reference to the manifest."""
        config = self.blob(json.dumps(self.config).encode())
        document = {"schemaVersion": 2, "config": config, "layers": self.layers}
        return {"mediaType": MANIFEST, **self.blob(json.dumps(document).encode())}

    def write(self, *manifests: dict[str, Any]) -> Path:
        """Writes index.json, of the image's own manifest or of those that are given."""
        index = {"schemaVersion": 2, "manifests": list(manifests) or [self.manifest()]}
        (self.path / "index.json").write_text(json.dumps(index))
        return self.path


def as_archive(layout: Path, out: Path) -> Path:
    """A layout's folder as a tar archive."""
    with tarfile.open(out, "w") as tar:
        tar.add(layout, arcname=".")
    return out
