# SPDX-License-Identifier: Apache-2.0
"""Streams of bytes from a stranger: each knows its digest and its limit, and neither can be passed over."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from typing import IO, Protocol, Self

import zstandard

from tessera.images.limits import too_large
from tessera.images.oci_model import GZIP, TAR
from tessera.model.errors import ImageDamaged

_CHUNK = 1 << 20
# Zstandard frames may ask for any window; this is what decoders are told to expect.
_MAX_WINDOW = 128 << 20
UNPACKING_ERRORS = (OSError, EOFError, zlib.error, zstandard.ZstdError)


class Source(Protocol):
    """Something to read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end."""


class _Digest:
    def __init__(self, text: str, what: str) -> None:
        self._text = text
        self._what = what
        self._hash = hashlib.new(text.partition(":")[0])

    def update(self, data: bytes) -> None:
        self._hash.update(data)

    def check(self) -> None:
        if self._hash.hexdigest() != self._text.partition(":")[2]:
            raise ImageDamaged(
                f"{self._what} is not what its digest {self._text[:19]}... says.",
                "Get the image again; if that does not help, it was changed on its way.",
            )


class Checked:
    """A blob: exactly `size` bytes of the digest `digest`."""

    def __init__(self, file: IO[bytes], digest: str, size: int) -> None:
        self._file = file
        self._digest = _Digest(digest, "A blob of the image")
        self._size = size
        self.done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int = _CHUNK, /) -> bytes:
        """At most `size` bytes, and never more than the blob should have."""
        size = _CHUNK if size < 0 else size
        data = self._file.read(min(size, self._size - self.done))
        self.done += len(data)
        self._digest.update(data)
        return data

    def finish(self) -> None:
        """Reads what is left. Raises ImageDamaged if it was not exactly this blob."""
        while self.read():
            pass
        if self.done != self._size or self._file.read(1):
            raise ImageDamaged(
                f"A blob of the image does not have {self._size} bytes.",
                "Get the image again, or ask who made it.",
            )
        self._digest.check()


class Unpacked:
    """The content of a layer, at most `limit` bytes of it, whose digest is `diff_id`."""

    def __init__(self, packed: Checked, method: str, diff_id: str, limit: int) -> None:
        self._packed = packed
        self._source = _unpacking(packed, method)
        self._digest = _Digest(diff_id, "The content of a layer")
        self._left = limit

    def read(self, size: int = _CHUNK, /) -> bytes:
        """At most `size` bytes. Raises ImageTooLarge, and one of UNPACKING_ERRORS."""
        data = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise too_large("The image, unpacked,")
        self._digest.update(data)
        return data

    @property
    def left(self) -> int:
        """The bytes that may still come."""
        return self._left

    def finish(self) -> None:
        """Reads what is left, of the content and of its blob. Raises as read() does, and ImageDamaged."""
        while self.read():
            pass
        self._packed.finish()
        self._digest.check()


def _unpacking(packed: Checked, method: str) -> Source:
    if method == TAR:
        return packed
    if method == GZIP:
        return gzip.GzipFile(fileobj=packed)  # type: ignore[call-overload,no-any-return]
    decoder = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    return decoder.stream_reader(packed, read_across_frames=True)  # type: ignore[arg-type]
