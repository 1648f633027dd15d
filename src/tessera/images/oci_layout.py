# SPDX-License-Identifier: Apache-2.0
"""Reads an OCI image layout: a folder, or a tar archive of one.

A blob is opened by its digest alone, never by a path from inside the image, and is read only through
tessera.images.streams, which checks size and digest of every byte that it hands on.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from tessera.images import architecture
from tessera.images.limits import MAX_DOCUMENT, MAX_ENTRIES
from tessera.images.oci_model import INDEXES, MANIFESTS, Blob, Configuration, Index, Manifest, parse
from tessera.images.streams import Checked
from tessera.images.tar_members import STRICT_ERRORS, StrictMember
from tessera.images.text import printable
from tessera.model.errors import (
    ImageDamaged,
    ImageOfOtherArchitecture,
    ImageUnsupported,
    NotAnImage,
    TesseraError,
)

_INDEX = "index.json"
_MAX_DEPTH = 4
_AGAIN = "Get the image again, or ask who made it."


class Store(Protocol):
    """The files of a layout."""

    def open(self, name: str) -> IO[bytes]:
        """The file `name`, such as blobs/sha256/.... Raises ImageDamaged where there is none."""

    def close(self) -> None:
        """No file is opened any more."""


class Folder:
    """A layout as a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, name: str) -> IO[bytes]:
        path = self._path / name
        try:
            # A blob that is a link, or a pipe, is none.
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _missing(name) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise _missing(name)
        return open(fd, "rb")

    def close(self) -> None:
        pass


class Archive:
    """A layout as a tar archive that is not packed."""

    def __init__(self, path: Path) -> None:
        """Raises NotAnImage, ImageDamaged."""
        self._file = open(path, "rb")  # noqa: SIM115
        try:
            self._tar = tarfile.open(fileobj=self._file, mode="r:", tarinfo=StrictMember)  # noqa: SIM115
            self._members = self._listed()
        except STRICT_ERRORS as error:
            self._file.close()
            raise NotAnImage(
                f"{path} is neither a SIF file nor an OCI layout.",
                "An OCI layout is a folder, or a tar archive that is not packed.",
            ) from error
        except TesseraError:
            self._file.close()
            raise

    def _listed(self) -> dict[str, tarfile.TarInfo]:
        found: dict[str, tarfile.TarInfo] = {}
        end = -1
        for number, member in enumerate(self._tar):
            # Sizes in extended headers may be negative, which leads the reader back to where it was.
            if number == MAX_ENTRIES or member.size < 0 or member.offset <= end:
                raise ImageDamaged("The archive has no end of files.", _AGAIN)
            end = member.offset
            if member.isreg():
                found[member.name.removeprefix("./")] = member
        return found

    def open(self, name: str) -> IO[bytes]:
        member = self._members.get(name)
        file = self._tar.extractfile(member) if member else None
        if file is None:
            raise _missing(name)
        return file

    def close(self) -> None:
        self._file.close()


def _missing(name: str) -> ImageDamaged:
    return ImageDamaged(f"The OCI layout has no {name}.", _AGAIN)


@contextmanager
def open_layout(path: Path) -> Iterator[Layout]:
    """The image at `path`, a folder or an archive.

    Raises NotAnImage, ImageDamaged, ImageUnsupported, ImageOfOtherArchitecture.
    """
    store: Store = Folder(path) if path.is_dir() else Archive(path)
    try:
        yield Layout(store)
    finally:
        store.close()


class Layout:
    """The one image of a layout that this host can run."""

    def __init__(self, store: Store) -> None:
        """Raises what open_layout() does."""
        self._store = store
        index = parse(Index, self._document(_INDEX), _INDEX)
        manifest = self._manifest(index, 0)
        self.manifest = parse(Manifest, self.read(manifest), "manifest")
        configuration = parse(Configuration, self.read(self.manifest.config), "config")
        self.configuration = configuration.checked_against(self.manifest)
        if configuration.os not in ("", "linux"):
            raise ImageUnsupported(
                f"The image is for {printable(configuration.os[:40])}.", "Get the image for Linux."
            )
        architecture.check(configuration.architecture)

    def open(self, blob: Blob) -> Checked:
        """The bytes of a blob; reading them to their end raises ImageDamaged if they are others."""
        kind, _, name = blob.digest.partition(":")
        return Checked(self._store.open(f"blobs/{kind}/{name}"), blob.digest, blob.size)

    def read(self, blob: Blob) -> bytes:
        """A whole document. Raises ImageDamaged."""
        if blob.size > MAX_DOCUMENT:
            raise ImageDamaged(f"A document of the image has {blob.size} bytes.", _AGAIN)
        with self.open(blob) as file:
            text = file.read(blob.size)
            file.finish()
        return text

    def _document(self, name: str) -> bytes:
        try:
            file = self._store.open(name)
        except ImageDamaged as error:
            raise NotAnImage(
                f"This is no OCI layout: it has no {name}.",
                "Write the image as one, such as with: skopeo copy SOURCE oci:FOLDER",
            ) from error
        with file:
            text = file.read(MAX_DOCUMENT + 1)
        if len(text) > MAX_DOCUMENT:
            raise ImageDamaged(f"{name} has more than {MAX_DOCUMENT} bytes.", _AGAIN)
        return text

    def _manifest(self, index: Index, depth: int) -> Blob:
        """The manifest for this host, in an index and in those that it names."""
        if depth == _MAX_DEPTH:
            raise ImageDamaged("The indexes of the image lie too deep in each other.", _AGAIN)
        fitting = [blob for blob in index.manifests if _fits(blob)]
        for blob in fitting:
            if blob.media_type in MANIFESTS:
                return blob
        for blob in fitting:
            if blob.media_type in INDEXES:
                return self._manifest(parse(Index, self.read(blob), "index"), depth + 1)
        there = sorted({blob.platform.architecture for blob in index.manifests if blob.platform})
        raise ImageOfOtherArchitecture(
            f"The layout has no image for {architecture.of_this_host()}"
            + (f", only for {printable(', '.join(there)[:100])}." if there else "."),
            f"Get the image for {architecture.of_this_host()}.",
        )


def _fits(blob: Blob) -> bool:
    platform = blob.platform
    if platform is None:
        return True
    return platform.architecture == architecture.of_this_host() and platform.os in ("", "linux")
