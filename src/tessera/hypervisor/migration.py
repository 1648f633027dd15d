# SPDX-License-Identifier: Apache-2.0
"""Takes a machine's state apart as QEMU writes it: the guest's memory into a file, the rest as bytes.

QEMU's stream for a migration holds every page in the order in which it comes to it, among the state of the
devices. So it has to be read to its end before a guest can run again. With the pages in a file at their own
places, that file *is* the guest's memory: the next QEMU maps it, and the kernel fetches what is touched.
What is left of the stream is small, and QEMU takes it as it is: to load no page of a block is to keep what
is in it. (QEMU can leave shared memory out of the stream by itself, `x-ignore-shared`. A file that is mapped
and shared would be changed by the guest as soon as it runs, and a private one is not left out.)

The form is QEMU's own (migration/savevm.c and ram.c there, unchanged from 2.x to 10), integers big endian:

    magic, version 3, configuration              with the name of the machine's type
    start | part | end of a section, id, ...     memory, in pieces; each closed by a footer
    the rest                                     the devices, and a description of them

Whatever else comes is refused, and each page must have come: a stream that was misread is never kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable

PAGE = 4096
RAM = "pc.ram"  # what QEMU calls the memory of this kind of machine

_MAGIC = b"QEVM\0\0\0\3"
_CONFIGURATION, _FOOTER = 0x07, 0x7E
_START, _PART, _END = 0x01, 0x02, 0x03
_ZERO, _SIZES, _DATA, _EOS, _SAME_BLOCK = 0x02, 0x04, 0x08, 0x10, 0x20
_FLAGS = PAGE - 1
_CHUNK = 1 << 20
_RUN = 256  # pages written at once
_NO_PAGE = bytes(PAGE)


class UnknownStream(Exception):
    """This is no stream of the form above."""


class _Input:
    """Bytes of a pipe, by number; all that were taken can be kept."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._bytes = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """Raises UnknownStream where it ends before."""
        end = self._at + count
        if end > len(self._bytes):
            self._fill(count)
            end = count
        taken = self._bytes[self._at : end]
        self._at = end
        return taken

    def number(self, size: int) -> tuple[int, bytes]:
        """A number and the bytes that it was."""
        raw = self.take(size)
        return int.from_bytes(raw, "big"), raw

    def rest(self) -> bytes:
        parts = [self._bytes[self._at :]]
        while data := os.read(self._source, _CHUNK):
            parts.append(data)
        return b"".join(parts)

    def _fill(self, count: int) -> None:
        parts = [self._bytes[self._at :]]
        have = len(parts[0])
        while have < count:
            data = os.read(self._source, _CHUNK)
            if not data:
                raise UnknownStream("it ends too early")
            parts.append(data)
            have += len(data)
        self._bytes, self._at = b"".join(parts), 0


class _Pages:
    """The file of the pages. What is zero is left a hole."""

    def __init__(self, file: int, size: int) -> None:
        self._file = file
        self._seen = bytearray(size // PAGE)
        self._written = bytearray(size // PAGE)
        self._run: list[bytes] = []
        self._next = 0
        os.ftruncate(file, size)

    def put(self, offset: int, data: bytes | None) -> None:
        """A page, None for one of zeros. A page may come again: the last one counts."""
        number = offset // PAGE
        if number >= len(self._seen):
            raise UnknownStream("a page beyond the memory's end")
        self._seen[number] = 1
        if data is None:
            if not self._written[number]:
                return
            data = _NO_PAGE
        self._written[number] = 1
        if number != self._next or len(self._run) == _RUN:
            self.flush()
        self._run.append(data)
        self._next = number + 1

    def flush(self) -> None:
        """Raises OSError."""
        place = (self._next - len(self._run)) * PAGE
        data = memoryview(b"".join(self._run))
        self._run.clear()
        while data:
            put = os.pwrite(self._file, data, place)
            data, place = data[put:], place + put

    def check(self) -> None:
        if missing := self._seen.count(0):
            raise UnknownStream(f"{missing} pages of the memory did not come")


def split(source: int, memory: int, size: int) -> bytes:
    """Reads a stream from a pipe to its end: the guest's `size` bytes of memory go into the file `memory`,
    which is empty, and all the rest is returned.

    Raises UnknownStream, and OSError where the file cannot be written.
    """
    reader, kept = _Input(source), bytearray()
    pages = _Pages(memory, size)
    kept += _head(reader)
    memory_section = None
    block = b""
    while True:
        kind, raw = reader.number(1)
        kept += raw
        if kind not in (_START, _PART, _END):
            break
        number = reader.take(4)
        kept += number
        if kind == _START:
            memory_section = number
            kept += _section_name(reader)
        if number != memory_section:
            raise UnknownStream("a part of no section")
        block = _memory(reader, kept.extend, pages, block)
        kept += _footer(reader, number)
    pages.flush()
    kept += reader.rest()
    pages.check()
    return bytes(kept)


def _head(reader: _Input) -> bytes:
    magic = reader.take(len(_MAGIC))
    if magic != _MAGIC:
        raise UnknownStream("it does not begin as such a stream does")
    kind, raw = reader.number(1)
    if kind != _CONFIGURATION:
        raise UnknownStream("it names no type of machine")
    length, size = reader.number(4)
    if length > 256:
        raise UnknownStream("the name of its machine's type has no end")
    return magic + raw + size + reader.take(length)


def _section_name(reader: _Input) -> bytes:
    length, raw = reader.number(1)
    name = reader.take(length)
    if name != b"ram":
        raise UnknownStream(f"a section that is not known: {name[:40]!r}")
    return raw + name + reader.take(8)  # instance and version


def _footer(reader: _Input, number: bytes) -> bytes:
    raw = reader.take(5)
    if raw != bytes([_FOOTER]) + number:
        raise UnknownStream("a section that does not end where it should")
    return raw


def _memory(reader: _Input, keep: Callable[[bytes], None], pages: _Pages, block: bytes) -> bytes:
    """One piece of the memory's section, up to its end mark. What is of other blocks (firmware, tables) is
    kept as it is. `block` is that of the page before, in the piece before; returned is the last one's."""
    while True:
        word, raw = reader.number(8)
        flags, offset = word & _FLAGS, word & ~_FLAGS
        if flags == _EOS:
            keep(raw)
            return block
        if flags == _SIZES:
            keep(raw + _blocks(reader, offset))
            continue
        if not flags & _SAME_BLOCK:
            length, size = reader.number(1)
            block = reader.take(length)
            raw += size + block
        what = flags & ~_SAME_BLOCK
        if what == _DATA:
            data, page = reader.take(PAGE), True
        elif what == _ZERO:
            data, page = reader.take(1), False
        else:
            raise UnknownStream(f"a page with the flags {flags:#x}")
        if not page and data != b"\0":
            raise UnknownStream("a page of zeros that is not")
        if block != RAM.encode():
            keep(raw + data)
        else:
            pages.put(offset, data if page else None)


def _blocks(reader: _Input, total: int) -> bytes:
    """The names and sizes of all blocks, which have `total` bytes."""
    kept, seen = b"", 0
    while seen < total:
        length, raw = reader.number(1)
        name = reader.take(length)
        size, raw_size = reader.number(8)
        kept += raw + name + raw_size
        seen += size
    return kept
