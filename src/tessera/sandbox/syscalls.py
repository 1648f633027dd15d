# SPDX-License-Identifier: Apache-2.0
"""System calls that Python 3.11 does not have."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# The same numbers on every architecture.
_MOVE_MOUNT = 429
_FSOPEN = 430
_FSCONFIG = 431
_FSMOUNT = 432
_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_CLOEXEC = 1
_FLAG, _STRING, _CREATE = 0, 1, 6  # commands of fsconfig
_ATTRIBUTES = 1 | 2 | 4  # of a mount: read-only, nosuid, nodev
_EMPTY_PATH = 0x4
_CAPABILITIES = 0x20080522  # version 3

_libc = ctypes.CDLL(None, use_errno=True)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def unshare(flags: int) -> None:
    """Leaves the namespaces that CLONE_... name for new ones. Raises OSError."""
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """mount(2). Raises OSError."""
    _checked(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            os.fsencode(options) if options else None,
        ),
        target,
    )


def _call(what: str, number: int, *arguments: int | str | None) -> int:
    """A system call that the C library does not know. Raises OSError."""
    words = [
        os.fsencode(word)
        if isinstance(word, str)
        else None
        if word is None
        else ctypes.c_long(word)
        for word in arguments
    ]
    return _checked(int(_libc.syscall(ctypes.c_long(number), *words)), what)


def detached_mount(kind: str, options: Mapping[str, str]) -> int:
    """A read-only mount that is nowhere yet, as a descriptor. Raises OSError."""
    made = _call("fsopen", _FSOPEN, kind, _CLOEXEC)
    try:
        for name, value in options.items():
            _call(name, _FSCONFIG, made, _STRING, name, value, 0)
        _call("ro", _FSCONFIG, made, _FLAG, "ro", None, 0)
        _call(kind, _FSCONFIG, made, _CREATE, None, None, 0)
        return _call("fsmount", _FSMOUNT, made, _CLOEXEC, _ATTRIBUTES)
    finally:
        os.close(made)


def attach(detached: int, place: str) -> None:
    """Puts a detached mount on a folder. Raises OSError."""
    at_cwd = -100
    _call(place, _MOVE_MOUNT, detached, "", at_cwd, place, _EMPTY_PATH)


def enter(namespace: int, kind: int) -> None:
    """Goes into the namespace of a descriptor, which is of the kind CLONE_.... Raises OSError."""
    _checked(_libc.setns(namespace, kind), "setns")


def drop_capabilities() -> None:
    """Gives up all of this process's privileges. Raises OSError."""
    header = _CapabilityHeader(_CAPABILITIES, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _checked(_libc.capset(ctypes.byref(header), ctypes.byref(nothing)), "capset")


def die_with_parent(number: int) -> None:
    """Has the kernel send this process the signal `number` when its parent ends. Raises OSError."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(number), 0, 0, 0), "prctl")


def adopt_orphans() -> None:
    """Makes this process the parent of what its children leave behind. Raises OSError."""
    _checked(_libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0), "prctl")


def open_in_root(root: int, path: str, flags: int) -> int:
    """Opens `path` as a program would whose root is the folder `root`: no link leads out of it.

    Raises OSError.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    return _checked(
        int(
            _libc.syscall(
                ctypes.c_long(_OPENAT2),
                ctypes.c_int(root),
                os.fsencode(path),
                ctypes.byref(how),
                ctypes.c_size_t(ctypes.sizeof(how)),
            )
        ),
        path,
    )
