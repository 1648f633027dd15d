# SPDX-License-Identifier: Apache-2.0
"""The documents of an OCI image layout: index, manifest and config, as far as they are used here.

Docker's second manifest format says the same in other media types, and is taken, too.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tessera.images.config import ImageConfig, damaged_document
from tessera.images.limits import MAX_LAYERS
from tessera.model.errors import ImageDamaged

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_MAX_MANIFESTS = 1024

INDEXES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
MANIFESTS = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
TAR, GZIP, ZSTD = "tar", "gzip", "zstd"
LAYERS = {
    "application/vnd.oci.image.layer.v1.tar": TAR,
    "application/vnd.oci.image.layer.v1.tar+gzip": GZIP,
    "application/vnd.oci.image.layer.v1.tar+zstd": ZSTD,
    "application/vnd.docker.image.rootfs.diff.tar": TAR,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": ZSTD,
}

Document = TypeVar("Document", bound=BaseModel)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)


class Platform(_Frozen):
    """What an image of an index is for."""

    architecture: str = ""
    os: str = ""


class Blob(_Frozen):
    """A reference to a blob; `size` in bytes."""

    media_type: str = Field(default="", alias="mediaType")
    digest: str
    size: int = Field(ge=0)
    platform: Platform | None = None

    @field_validator("digest")
    @classmethod
    def _a_digest(cls, text: str) -> str:
        return checked_digest(text)


class Index(_Frozen):
    """index.json, or an index inside of it."""

    manifests: tuple[Blob, ...] = Field(max_length=_MAX_MANIFESTS)


class Manifest(_Frozen):
    """One image."""

    config: Blob
    layers: tuple[Blob, ...] = Field(max_length=MAX_LAYERS)


class RootFs(_Frozen):
    """The digests of the layers when they are unpacked."""

    diff_ids: tuple[str, ...] = ()

    @field_validator("diff_ids")
    @classmethod
    def _digests(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked_digest(text) for text in texts)


class Configuration(_Frozen):
    """The config blob of an image."""

    architecture: str = ""
    os: str = ""
    created: datetime | None = None
    config: ImageConfig | None = None
    rootfs: RootFs = RootFs()

    @property
    def created_at(self) -> int:
        """Seconds since 1970, 0 where the image does not say."""
        return max(0, int(self.created.timestamp())) if self.created else 0

    @property
    def image_config(self) -> ImageConfig:
        return self.config or ImageConfig()

    def checked_against(self, manifest: Manifest) -> Self:
        """This configuration, if it has a digest for each layer. Raises ImageDamaged."""
        if len(self.rootfs.diff_ids) != len(manifest.layers):
            raise ImageDamaged(
                f"The image has {len(manifest.layers)} layers, and its config digests of "
                f"{len(self.rootfs.diff_ids)}.",
                "Get the image again, or ask who made it.",
            )
        return self


def checked_digest(text: str) -> str:
    """`text`, if it is a digest that can be checked. Raises ValueError, as pydantic wants it."""
    if not _DIGEST.fullmatch(text):
        raise ValueError(f"'{text[:80]}' is no sha256 or sha512 digest")
    return text


def parse(kind: type[Document], text: bytes, what: str) -> Document:
    """A document of an image. Raises ImageDamaged."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise damaged_document(what, error) from error
