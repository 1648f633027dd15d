# SPDX-License-Identifier: Apache-2.0
"""Images as people and programs see them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

from pydantic import BaseModel, ConfigDict
from rich.console import RenderableType
from rich.table import Table

from tessera.cli.tables import format_age, plain_table
from tessera.images import names, sif
from tessera.images.cache import Entry
from tessera.images.config import ImageConfig
from tessera.images.opened import OpenImage
from tessera.images.text import printable
from tessera.model.units import format_bytes


class Details(BaseModel):
    """An image with all that its SIF file says; no names, digest or time for one outside of the cache."""

    model_config = ConfigDict(frozen=True)

    entry: Entry | None
    path: str
    architecture: str
    signed: bool
    config: ImageConfig
    sif: sif.Sif

    @classmethod
    def of(cls, found: OpenImage) -> Self:
        return cls(
            entry=found.entry,
            path=str(found.path),
            architecture=found.image.architecture,
            signed=found.image.signed,
            config=found.config,
            sif=found.image,
        )


class Verdict(BaseModel):
    """Whether an image is whole; no digest for a file outside of the cache, which has none to keep."""

    model_config = ConfigDict(frozen=True)

    image: str
    digest: str | None
    damage: str | None


def entries(found: Sequence[Entry]) -> Table:
    now = datetime.now(UTC)
    rows = [
        (name, names.short(entry.digest), format_bytes(entry.size), format_age(entry.added, now))
        for entry in found
        for name in entry.names
    ]
    return plain_table(("NAME", "DIGEST", "SIZE", "AGE"), rows, right=("SIZE",))


def verdicts(found: Sequence[Verdict]) -> Table:
    rows = [(verdict.image, "damaged" if verdict.damage else "whole") for verdict in found]
    return plain_table(("IMAGE", "STATE"), rows)


def details(shown: Details) -> list[RenderableType]:
    """The facts, and below them the data objects of the file."""
    config, entry = shown.config, shown.entry
    facts = [
        ("names", ", ".join(entry.names) if entry else "-"),
        ("digest", entry.digest if entry else "-"),
        ("path", shown.path),
        ("size", f"{format_bytes(shown.sif.size)} ({shown.sif.size} bytes)"),
        ("architecture", shown.architecture),
        ("signed", "yes (signatures are not checked)" if shown.signed else "no"),
        ("entrypoint", shlex.join(config.entrypoint) or "-"),
        ("cmd", shlex.join(config.cmd) or "-"),
        ("workdir", config.working_dir or "/"),
        ("user", config.user or "root"),
        *(("env", word) for word in config.env),
    ]
    width = max(len(name) for name, _ in facts)
    lines: list[RenderableType] = [f"{name:<{width}}  {printable(value)}" for name, value in facts]
    return [*lines, "", _objects(shown.sif)]


def _objects(image: sif.Sif) -> Table:
    rows = [
        (
            str(found.id),
            found.type.name.lower().replace("_", "-"),
            format_bytes(found.size),
            found.name or "-",
            _extra(found.extra),
        )
        for found in image.descriptors
    ]
    return plain_table(("ID", "TYPE", "SIZE", "NAME", "WHAT"), rows, right=("SIZE",))


def _extra(extra: sif.Extra | None) -> str:
    if isinstance(extra, sif.Partition):
        return f"{extra.part.name.lower()} {extra.file_system.name.lower()} {extra.architecture}"
    if isinstance(extra, sif.Signature):
        return f"{extra.hash.name.lower()} by {extra.fingerprint}"
    if isinstance(extra, sif.CryptoMessage):
        return f"{extra.kind.name.lower()} in {extra.format.name.lower()}"
    if isinstance(extra, sif.Sbom):
        return extra.format.name.lower()
    return extra.digest if extra else "-"
