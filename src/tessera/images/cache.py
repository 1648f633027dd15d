# SPDX-License-Identifier: Apache-2.0
"""The images of a user, by content.

    images/sha256/HEX     a SIF file, named by the SHA-256 of its bytes, never written again
    images/names/NAME     a symbolic link to ../sha256/HEX
    images/new/...        files in the making, each locked by its maker
    images/lock           held while names and files are changed together
    images/mount          always empty: sandboxes mount their root there, each in a namespace of its own

A file is made in `new` and renamed when it is whole, so nobody sees half an image, two who add the same
image at once end with one, and what a killed command left is found by its free lock and removed by the
next one. An image in use may be removed: who runs it holds it open.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tessera import paths
from tessera.images import names
from tessera.images.names import PREFIX
from tessera.images.progress import Progress, Silent
from tessera.model.errors import ImageDamaged, ImageNameInUse, ImageNotFound

_CHUNK = 1 << 20


class Entry(BaseModel):
    """An image of the cache; `size` in bytes, `added` in UTC."""

    model_config = ConfigDict(frozen=True)

    names: tuple[str, ...]
    digest: str
    size: int
    added: datetime


class Cache:
    """The images under a state folder."""

    def __init__(self, folder: Path | None = None) -> None:
        """Raises RuntimeFolderUnusable, DiskFull."""
        self.folder = folder or Path(paths.state_folder(), "images")
        paths.make_private_folder(str(self.folder.parent))
        self._files = self.folder / "sha256"
        self._names = self.folder / "names"
        self._new = self.folder / "new"
        for place in (self.folder, self._files, self._names, self._new):
            paths.make_private_folder(str(place))

    def path_of(self, digest: str) -> Path:
        return self._files / digest.removeprefix(PREFIX)

    def mount_point(self) -> str:
        """An empty folder, for mounts in other mount namespaces. Raises RuntimeFolderUnusable, DiskFull."""
        path = str(self.folder / "mount")
        paths.make_private_folder(path)
        return path

    @contextmanager
    def making(self) -> Iterator[Path]:
        """A file to make an image in, gone afterwards unless it was kept. Raises DiskFull and the like."""
        try:
            # Under the lock: others remove what is there and not locked.
            with self._changing():
                self._remove_left_over()
                fd, name = tempfile.mkstemp(dir=self._new)
                fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError as error:
            raise paths.folder_error(str(self._new), error) from error
        try:
            yield Path(name)
        except OSError as error:
            raise paths.folder_error(name, error) from error
        finally:
            os.close(fd)
            with suppress(FileNotFoundError):
                os.unlink(name)

    def _remove_left_over(self) -> None:
        for path in self._new.iterdir():
            with suppress(OSError), open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    def keep(self, made: Path, name: str, replace: bool, progress: Progress | None = None) -> Entry:
        """Takes a file from making() in, under `name`. Raises ImageNameInUse, DiskFull and the like."""
        digest = digest_of(made, progress or Silent())
        with self._changing():
            target = self.path_of(digest)
            there = self._name_target(name)
            if there is not None and there != digest and not replace:
                raise ImageNameInUse(
                    f"The name '{name}' belongs to another image, {names.short(there)}.",
                    "Choose another one with --name, or take it over with --replace.",
                )
            if not target.exists():
                made.chmod(0o400)
                os.rename(made, target)
                _sync(self._files)
            self._point(name, digest)
            if there is not None and there != digest:
                self._remove_nameless(there)
        return self.entry(digest)

    def _point(self, name: str, digest: str) -> None:
        fresh = self._names / f".{name}"
        with suppress(FileNotFoundError):
            fresh.unlink()
        fresh.symlink_to(f"../sha256/{digest.removeprefix(PREFIX)}")
        os.rename(fresh, self._names / name)

    def entries(self) -> list[Entry]:
        """All images, in the order of their names."""
        with self._changing():
            found = [self.entry(PREFIX + path.name) for path in self._files.iterdir()]
        return sorted(found, key=lambda entry: (entry.names, entry.digest))

    def entry(self, digest: str) -> Entry:
        """One image. Raises ImageNotFound."""
        try:
            facts = self.path_of(digest).stat()
        except OSError as error:
            raise _not_found(digest) from error
        return Entry(
            names=tuple(sorted(self._names_of(digest))),
            digest=digest,
            size=facts.st_size,
            added=datetime.fromtimestamp(facts.st_ctime, UTC),
        )

    def find(self, reference: str) -> Entry:
        """The image with this name or digest. Raises ImageNotFound, InvalidImageName."""
        if reference.startswith(PREFIX):
            return self.entry(self._completed(reference))
        digest = self._name_target(names.check_name(reference))
        if digest is None:
            raise _not_found(reference)
        return self.entry(digest)

    def remove(self, reference: str) -> Entry:
        """Takes a name away, and the image with its last one; a digest takes all. Raises as find() does."""
        with self._changing():
            entry = self.find(reference)
            gone = entry.names if reference.startswith(PREFIX) else (reference,)
            for name in gone:
                (self._names / name).unlink(missing_ok=True)
            self._remove_nameless(entry.digest)
        return entry

    def verify(self, entry: Entry, progress: Progress) -> None:
        """Reads the whole image again. Raises ImageDamaged."""
        if digest_of(self.path_of(entry.digest), progress) != entry.digest:
            raise ImageDamaged(
                f"The image {names.short(entry.digest)} was changed since it was added.",
                f"Remove it and add it again: tessera image remove {names.short(entry.digest)}",
            )

    def _remove_nameless(self, digest: str) -> None:
        if not self._names_of(digest):
            self.path_of(digest).unlink(missing_ok=True)

    def _names_of(self, digest: str) -> list[str]:
        found = [path.name for path in self._names.iterdir() if not path.name.startswith(".")]
        return [name for name in found if self._name_target(name) == digest]

    def _name_target(self, name: str) -> str | None:
        try:
            target = os.readlink(self._names / name)
        except OSError:
            return None
        return PREFIX + os.path.basename(target)

    def _completed(self, digest: str) -> str:
        digits = names.digits_of(digest)
        found = [path.name for path in self._files.iterdir() if path.name.startswith(digits)]
        if len(found) > 1:
            raise ImageNotFound(
                f"{len(found)} images have a digest that begins so.", "Write more of its digits."
            )
        if not found:
            raise _not_found(digest)
        return PREFIX + found[0]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise paths.folder_error(str(self.folder), error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _not_found(reference: str) -> ImageNotFound:
    return ImageNotFound(
        f"There is no image '{reference[:80]}'.",
        "See `tessera image list`; `tessera image add` takes SIF files and OCI layouts in.",
    )


def digest_of(path: Path, progress: Progress) -> str:
    """The SHA-256 of a file, with its prefix; waits until the disk has it. Raises OSError."""
    digest, done = hashlib.sha256(), 0
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        total = os.fstat(file.fileno()).st_size
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress.advance(done, total)
    return PREFIX + digest.hexdigest()


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
