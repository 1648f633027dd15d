# SPDX-License-Identifier: Apache-2.0
"""Turns the layers of an OCI image into one tar archive; tessera.images.tree says how and why."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from tessera.images.limits import most_bytes, too_large
from tessera.images.oci_layout import Layout
from tessera.images.oci_model import LAYERS
from tessera.images.progress import Progress
from tessera.images.streams import Unpacked
from tessera.images.tar_members import STRICT_ERRORS, StrictMember
from tessera.images.text import printable
from tessera.images.tree import Kind, Node, Tree
from tessera.model.errors import ImageDamaged, ImageUnsupported

_CHUNK = 1 << 20


class Flattened:
    """An image whose headers were read: its tree, and where the content of each file is."""

    def __init__(self, layout: Layout, progress: Progress) -> None:
        """Reads every layer once. Raises ImageError of all kinds."""
        self._layout = layout
        self._progress = progress
        self._methods = [_method(blob.media_type) for blob in layout.manifest.layers]
        self._places: dict[tuple[int, int], Node] = {}
        self.tree = Tree()
        self._left = most_bytes()
        for number in range(len(self._methods)):
            self._read_headers(number)

    def _read_headers(self, layer: int) -> None:
        with self._opened(layer, "Reading") as (stream, members):
            for place, member in enumerate(members):
                node = self.tree.apply(member, layer)
                if node is not None:
                    self._places[layer, place] = node
            stream.finish()
            self._left = stream.left

    def write(self, out: IO[bytes]) -> None:
        """Writes the archive; reads every layer once more. Raises as the constructor does, and OSError."""
        paths = self._paths()
        self._left = most_bytes()
        with tarfile.open(
            fileobj=out,
            mode="w|",
            bufsize=_CHUNK,
            format=tarfile.GNU_FORMAT,
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive:
            for path, node in self.tree.walk():
                if node.kind is not Kind.FILE:
                    archive.addfile(_header(path, node))
            for layer in range(len(self._methods)):
                self._write_files(archive, layer, paths)

    def _write_files(
        self, archive: tarfile.TarFile, layer: int, paths: dict[Node, list[str]]
    ) -> None:
        with self._opened(layer, "Packing") as (stream, members):
            for place, member in enumerate(members):
                node = self._places.get((layer, place))
                if node is None or node not in paths:
                    continue
                first, *others = paths[node]
                archive.addfile(_header(first, node), _content(members.archive, member))
                for path in others:
                    archive.addfile(_hard_link(path, first, node))
            stream.finish()
            self._left = stream.left

    def _paths(self) -> dict[Node, list[str]]:
        """Where each file that is left appears; more than once for hard links."""
        found: dict[Node, list[str]] = {}
        for path, node in self.tree.walk():
            if node.kind is Kind.FILE:
                found.setdefault(node, []).append(path)
        return found

    @contextmanager
    def _opened(self, layer: int, doing: str) -> Iterator[tuple[Unpacked, _Members]]:
        blob = self._layout.manifest.layers[layer]
        diff_id = self._layout.configuration.rootfs.diff_ids[layer]
        self._progress.step(f"{doing} layer {layer + 1} of {len(self._methods)}")
        try:
            with self._layout.open(blob) as packed:
                stream = Unpacked(packed, self._methods[layer], diff_id, self._left)
                yield (
                    stream,
                    _Members(stream, lambda: self._progress.advance(packed.done, blob.size)),
                )
        except BrokenPipeError:
            raise  # of whom we write to
        except STRICT_ERRORS as error:
            raise ImageDamaged(
                f"Layer {layer + 1} of the image cannot be unpacked: {error}.",
                "Get the image again, or ask who made it.",
            ) from error


class _Members:
    """The members of a layer, none of which is kept."""

    def __init__(self, stream: Unpacked, told: Callable[[], None]) -> None:
        # A stream needs nothing but read(), and holds nothing that had to be closed.
        self.archive = tarfile.open(  # type: ignore[call-overload]  # noqa: SIM115
            fileobj=stream,
            mode="r|",
            bufsize=_CHUNK,
            tarinfo=StrictMember,
            encoding="utf-8",
            errors="surrogateescape",
        )
        self._stream = stream
        self._told = told

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        while (member := self.archive.next()) is not None:
            # tarfile goes on reading for as long as a size says, also behind the end of the stream.
            if member.size > self._stream.left:
                raise too_large("The image, unpacked,")
            yield member
            self.archive.members.clear()
            self._told()


def _method(media_type: str) -> str:
    if media_type not in LAYERS:
        raise ImageUnsupported(
            f"A layer of the image is of the kind '{printable(media_type[:80])}'.",
            "Build the image with layers that are tar archives, packed by gzip or zstd or not at all.",
        )
    return LAYERS[media_type]


def _header(path: str, node: Node) -> tarfile.TarInfo:
    header = tarfile.TarInfo(path)
    header.mode, header.mtime, header.size = node.mode, node.time, node.size
    header.uid, header.gid = node.owner, node.group
    header.type = {
        Kind.FOLDER: tarfile.DIRTYPE,
        Kind.FILE: tarfile.REGTYPE,
        Kind.LINK: tarfile.SYMTYPE,
    }[node.kind]
    header.linkname = node.target
    return header


def _hard_link(path: str, first: str, node: Node) -> tarfile.TarInfo:
    header = _header(path, node)
    header.type, header.linkname, header.size = tarfile.LNKTYPE, first, 0
    return header


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    assert content is not None  # of a regular file there is always one
    return content
