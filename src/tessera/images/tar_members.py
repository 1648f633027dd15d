# SPDX-License-Identifier: Apache-2.0
"""Headers of tar archives from a stranger.

The standard library reads archives of every dialect, and trusts them with its memory: an extended header
of a gigabyte is read whole, and so is the map of a sparse file. No image needs either.
"""

from __future__ import annotations

import tarfile
import zlib
from typing import NoReturn, Self

import zstandard

from tessera.model.errors import ImageHostile

# A long path, or the attributes of a file, fit in far less.
_MAX_HEADER = 1 << 20
_HEADERS = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
# What reading a damaged archive can raise: ValueError and OverflowError come from numbers in headers,
# RecursionError from headers that stand before headers without end.
STRICT_ERRORS = (
    tarfile.TarError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,
    zlib.error,
    zstandard.ZstdError,
)


class StrictMember(tarfile.TarInfo):
    """A member of an archive. Making one raises ImageHostile for what only an attacker writes."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.size < 0:
            raise _hostile("a file of negative size")
        if member.type in _HEADERS and member.size > _MAX_HEADER:
            raise _hostile(f"an extended header of {member.size} bytes")
        if member.type == tarfile.GNUTYPE_SPARSE:
            raise _hostile("a sparse file")
        return member

    def _proc_gnusparse_00(self, *_: object) -> NoReturn:
        raise _hostile("a sparse file")

    def _proc_gnusparse_01(self, *_: object) -> NoReturn:
        raise _hostile("a sparse file")

    def _proc_gnusparse_10(self, *_: object) -> NoReturn:
        raise _hostile("a sparse file")


def _hostile(what: str) -> ImageHostile:
    return ImageHostile(
        f"The image holds {what}, which no image needs.",
        "Do not use it. If you made it yourself, build it with another tool.",
    )
