# SPDX-License-Identifier: Apache-2.0
"""Makes SIF files in the cache: from SIF files, OCI layouts, folders and Debian suites."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tessera.images import architecture, sif_reader, sif_writer
from tessera.images.cache import Cache, Entry
from tessera.images.config import ImageConfig
from tessera.images.flatten import Flattened
from tessera.images.oci_layout import open_layout
from tessera.images.progress import Progress
from tessera.images.squashfs import Packing
from tessera.model.errors import (
    ImageBuildFailed,
    ImageNotFound,
    NotAnImage,
    ToolMissing,
    UsageError,
)

_CHUNK = 1 << 20
_BOOTSTRAP = "mmdebstrap"


def add(
    cache: Cache, source: Path, name: str, replace: bool, all_root: bool, progress: Progress
) -> Entry:
    """Takes in the SIF file or the OCI layout at `source`, whose files all belong to root with `all_root`.

    Raises ImageError, ImageNotFound, HostError, UsageError.
    """
    if not source.exists():
        raise ImageNotFound(f"There is nothing at {source}.", "Check the path.")
    with cache.making() as made:
        if not (source.is_file() and sif_reader.looks_like_sif(source)):
            _from_layout(source, made, all_root, progress)
        elif all_root:
            raise UsageError("A SIF file is taken in as it is.", "Leave --all-root out.")
        else:
            _copy(source, made, progress)
        return cache.keep(made, name, replace, progress)


def _copy(source: Path, made: Path, progress: Progress) -> None:
    """Checks what was copied, and not the source: that may change meanwhile."""
    progress.step("Copying")
    with open(sif_reader.open_sif(source), "rb") as taken, open(made, "r+b") as out:
        sif_reader.read_sif(taken.fileno())  # before many bytes are copied in vain
        total, done = os.fstat(taken.fileno()).st_size, 0
        while chunk := taken.read(_CHUNK):
            out.write(chunk)
            done += len(chunk)
            progress.advance(done, total)
        out.flush()
        image = sif_reader.read_sif(out.fileno())
        sif_reader.read_config(out.fileno(), image)
    architecture.check(image.architecture)


def _from_layout(source: Path, made: Path, all_root: bool, progress: Progress) -> None:
    with open_layout(source) as layout:
        flattened = Flattened(layout, progress)
        config = layout.configuration.image_config
        offset, newest = sif_writer.partition_offset(config), flattened.tree.newest
        with Packing(None, made, offset, newest, all_root) as packing:
            # Where mksquashfs has ended already, finish() tells why.
            with suppress(BrokenPipeError):
                flattened.write(packing.stdin)
            packing.finish()
    _complete(made, config, layout.configuration.created_at)


def _complete(made: Path, config: ImageConfig, created: int) -> None:
    with open(made, "r+b") as out:
        sif_writer.complete(out.fileno(), config, architecture.of_this_host(), created)
        # What is written is read as anybody's file: the reader knows the rules.
        sif_reader.read_sif(out.fileno())


def from_folder(
    cache: Cache, folder: Path, config: ImageConfig, name: str, replace: bool, progress: Progress
) -> Entry:
    """Packs a folder of this host. Raises ImageNotFound, NotAnImage, HostError, ImageNameInUse."""
    if not folder.exists():
        raise ImageNotFound(f"There is no folder {folder}.", "Check the path.")
    if not folder.is_dir():
        raise NotAnImage(f"{folder} is no folder.", "To take a SIF file in: tessera image add")
    with cache.making() as made:
        progress.step(f"Packing {folder}")
        offset = sif_writer.partition_offset(config)
        # Its owners are users of this host, and mean nothing inside.
        with Packing(folder, made, offset, _newest(folder), all_root=True) as packing:
            packing.finish()
        _complete(made, config, 0)
        return cache.keep(made, name, replace, progress)


def _newest(folder: Path) -> int:
    """The time of what was changed last in a folder, in seconds since 1970."""
    newest = os.stat(folder).st_mtime
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            newest = max(newest, os.lstat(os.path.join(place, name)).st_mtime)
    return max(0, int(newest))


def from_suite(
    cache: Cache,
    suite: str,
    include: Sequence[str],
    exclude: Sequence[str],
    mirror: str | None,
    config: ImageConfig,
    name: str,
    replace: bool,
    all_root: bool,
    progress: Progress,
) -> Entry:
    """Packs a small Debian of the suite `suite`, such as bookworm, with the packages `include`, less the
    files whose paths match one of `exclude`, as dpkg matches them.

    `mirror`: a URL, or the path of a list of sources; none: mmdebstrap's own choice. All files belong to root
    with `all_root`. Raises ToolMissing,
    ImageBuildFailed and what from_folder() raises.
    """
    words = _bootstrap_words(suite, include, exclude, mirror)
    with cache.making() as made:
        progress.step(f"Downloading and installing Debian {suite}")
        _bootstrap(words, suite, made, config, all_root)
        return cache.keep(made, name, replace, progress)


def _bootstrap(
    words: Sequence[str], suite: str, made: Path, config: ImageConfig, all_root: bool
) -> None:
    offset = sif_writer.partition_offset(config)
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        ) as bootstrap,
        Packing(bootstrap.stdout, made, offset, int(time.time()), all_root) as packing,
    ):
        if bootstrap.stdout:
            bootstrap.stdout.close()  # mksquashfs has it
        if bootstrap.wait() != 0:
            said.seek(0)
            raise _bootstrap_failed(suite, said.read())
        packing.finish()
    _complete(made, config, 0)


def _bootstrap_words(
    suite: str, include: Sequence[str], exclude: Sequence[str], mirror: str | None
) -> list[str]:
    program = shutil.which(_BOOTSTRAP)
    if program is None:
        raise ToolMissing(
            f"{_BOOTSTRAP} is not installed, and Debian images are made with it.",
            f"Run: apt-get install {_BOOTSTRAP}",
        )
    for word in (suite, *include, mirror or ""):
        if word.startswith("-"):
            raise UsageError(f"'{word}' is no suite, package or mirror.", "Leave the '-' out.")
    # Sandboxes and virtual machines have a /dev of their own.
    words = [program, "--quiet", "--variant=essential", "--format=tar", "--skip=output/dev"]
    words += [f"--include={','.join(include)}"] if include else []
    words += [f"--dpkgopt=path-exclude={pattern}" for pattern in exclude]
    return [*words, suite, "-", *([mirror] if mirror else [])]


def _bootstrap_failed(suite: str, said: bytes) -> ImageBuildFailed:
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    text = " ".join(lines[-4:])[-400:] or "it said nothing"
    return ImageBuildFailed(
        f"{_BOOTSTRAP} could not make Debian {suite}: {text}",
        "Check the suite's name and the network, or name a mirror with --mirror.",
    )
