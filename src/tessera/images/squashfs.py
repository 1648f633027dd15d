# SPDX-License-Identifier: Apache-2.0
"""The file system of images: a look at its superblock, and mksquashfs, which makes it."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from tessera.model.errors import ImageBuildFailed, ImageDamaged, ImageUnsupported, ToolMissing

_MAGIC = 0x73717368
_VERSION = (4, 0)
# magic, inodes, time, block size, fragments, compressor, block log, flags, ids, major, minor, root,
# bytes used, and the places of the tables: ids, xattrs, inodes, directories, fragments, exports
_SUPERBLOCK = struct.Struct("<5I6H8Q")
_COMPRESSORS = {1: "gzip", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
_ABSENT = (1 << 64) - 1
_BLOCK_LOGS = range(12, 21)

_TOOL = "mksquashfs"
_FROM_ARCHIVE = ["-tar", "-root-mode", "0755", "-root-uid", "0", "-root-gid", "0"]


def check_superblock(fd: int, offset: int, size: int) -> None:
    """Looks at the squashfs of `size` bytes at `offset` of a file. Raises ImageDamaged, ImageUnsupported."""
    raw = os.pread(fd, _SUPERBLOCK.size, offset)
    if size < _SUPERBLOCK.size or len(raw) < _SUPERBLOCK.size:
        raise _damaged("it ends inside its superblock")
    magic, inodes, _, block, _, compressor, log, _, ids, *rest = _SUPERBLOCK.unpack(raw)
    major, minor, _, used, *tables = rest
    if magic != _MAGIC:
        raise _damaged("its magic is missing")
    if (major, minor) != _VERSION:
        raise ImageUnsupported(
            f"The image's squashfs has version {major}.{minor}, and Tessera runs 4.0.",
            "Build it again with squashfs-tools 4.",
        )
    if compressor not in _COMPRESSORS:
        raise ImageUnsupported(
            f"The image's squashfs is packed by method {compressor}, which squashfuse cannot read.",
            f"Build it again with one of {', '.join(_COMPRESSORS.values())}.",
        )
    if log not in _BLOCK_LOGS or block != 1 << log:
        raise _damaged(f"blocks of {block} bytes are impossible")
    if not _SUPERBLOCK.size <= used <= size:
        raise _damaged(f"it claims {used} bytes and has {size}")
    if not inodes or not ids:
        raise _damaged("it holds nothing")
    if any(place != _ABSENT and place >= used for place in tables):
        raise _damaged("a table lies behind its end")


def _damaged(what: str) -> ImageDamaged:
    return ImageDamaged(
        f"The image's squashfs is damaged: {what}.", "Get the image again, or ask who made it."
    )


def tool() -> str:
    """The path of mksquashfs. Raises ToolMissing."""
    found = shutil.which(_TOOL)
    if found is None:
        raise ToolMissing(
            f"{_TOOL} is not installed, and images are made with it.",
            "Run: apt-get install squashfs-tools",
        )
    return found


class Packing:
    """A mksquashfs at work; as a context it is ended when the work around it fails.

    It packs a folder, or a tar archive (from a pipe; None: that the caller writes to `stdin`), into `out`
    from byte `offset` on. Files belong to whom the archive says, or with `all_root` to root. Extended attributes
    are left out, and the same content makes the same bytes. No time is later than `newest`, in seconds
    since 1970.
    """

    def __init__(
        self,
        source: Path | IO[bytes] | None,
        out: Path,
        offset: int,
        newest: int,
        all_root: bool,
    ) -> None:
        """Raises ToolMissing."""
        from_folder = isinstance(source, Path)
        words = [tool(), str(source) if from_folder else "-", str(out), "-offset", str(offset)]
        words += ["-exit-on-error"] if from_folder else _FROM_ARCHIVE
        words += ["-all-root"] if all_root else []
        words += ["-comp", "zstd", "-Xcompression-level", "8"]
        words += ["-no-xattrs", "-noappend", "-no-progress", "-quiet"]
        # The latest time that is written. Above all it is the root's, which an archive cannot set.
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(newest)}
        # Into a file: a pipe that nobody reads would stop it in the middle.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        stdin = subprocess.DEVNULL if isinstance(source, Path) else source or subprocess.PIPE
        self._process = subprocess.Popen(
            words, stdin=stdin, stdout=subprocess.DEVNULL, stderr=self._said, env=environment
        )

    @property
    def stdin(self) -> IO[bytes]:
        """Where the caller writes its archive."""
        assert self._process.stdin is not None
        return self._process.stdin

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._process.kill()
        # What is still to be written meets a closed pipe where the process is gone already.
        with suppress(BrokenPipeError):
            self._process.communicate()
        self._said.close()

    def finish(self) -> None:
        """Waits until all is packed. Raises ImageBuildFailed with what mksquashfs said."""
        with suppress(BrokenPipeError):
            self._process.communicate()
        if self._process.returncode != 0:
            self._said.seek(0)
            text = " ".join(self._said.read().decode("utf-8", "replace").split())[-400:]
            raise ImageBuildFailed(
                f"{_TOOL} failed: {text or f'exit code {self._process.returncode}'}.",
                "Check that the files can be read, and that there is space where images are kept.",
            )
