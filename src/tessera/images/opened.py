# SPDX-License-Identifier: Apache-2.0
"""An image by whatever name its user has for it, open and checked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tessera.images import sif_reader
from tessera.images.cache import Cache, Entry
from tessera.images.config import ImageConfig
from tessera.images.names import PREFIX
from tessera.images.sif import Sif
from tessera.model.errors import ImageNotFound, InvalidImageName, NotAnImage


@dataclass(frozen=True)
class OpenImage:
    """An image; `entry` is None for a file outside of the cache."""

    fd: int
    path: Path
    image: Sif
    config: ImageConfig
    entry: Entry | None


@contextmanager
def opened(reference: str, cache: Cache) -> Iterator[OpenImage]:
    """The image `reference` names (see tessera.images.names), open until the context ends.

    Raises ImageNotFound, InvalidImageName and ImageError.
    """
    entry, path = _resolve(reference, cache)
    if path.is_dir():
        raise NotAnImage(f"{path} is a folder.", f"Take it in first: tessera image add {path}")
    fd = sif_reader.open_sif(path)
    try:
        image = sif_reader.read_sif(fd)
        yield OpenImage(fd, path, image, sif_reader.read_config(fd, image), entry)
    finally:
        os.close(fd)


def _resolve(reference: str, cache: Cache) -> tuple[Entry | None, Path]:
    if "/" in reference and not reference.startswith(PREFIX):
        return None, Path(reference)
    try:
        entry = cache.find(reference)
    except (ImageNotFound, InvalidImageName):
        if Path(reference).is_file():
            return None, Path(reference)
        raise
    return entry, cache.path_of(entry.digest)
