# SPDX-License-Identifier: Apache-2.0
"""A client of the wire format that does what it is told, honest or not.

It is written from protocol/wire-format.md and protocol/opencl.toml alone, so it is also a second reader of
both. It speaks the stream form; over shared memory it goes as far as taking the descriptor.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from helpers.programs import ROOT

SHM, UNIX, TCP = 1, 2, 3
VERSION = 1
HEADER = struct.Struct("<HBBIQIIQ")
IN_FRAME, APART = 1, 2
INLINE = 4096
FRAGMENT = 262_144
FIRST_TO_CLIENT = 256

_NUMBERS = {"u32": "<I", "i32": "<i", "u64": "<Q", "id": "<Q", "new": "<Q"}
_ARRAYS = {"u32s": ("I", 4), "i32s": ("i", 4), "u64s": ("Q", 8), "ids": ("Q", 8)}


class Ended(Exception):
    """The worker ended the session."""


def _fields(stanza: dict[str, Any]) -> list[tuple[str, str]]:
    own = [(each[0].split(":")[0], each[1]) for each in stanza["fields"]]
    common = [("id", "queue"), ("ids", "wait_list"), ("new", "event")]
    return common + own if stanza["kind"] == "command" else own


def _load() -> tuple[dict[str, int], dict[int, str], dict[str, list[tuple[str, str]]]]:
    messages = tomllib.loads((ROOT / "protocol" / "opencl.toml").read_text())["message"]
    following = {"worker": 1, "client": FIRST_TO_CLIENT}
    opcodes, names, fields = {}, {}, {}
    for name, stanza in messages.items():
        opcodes[name] = following[stanza["to"]]
        names[opcodes[name]] = name
        fields[name] = _fields(stanza)
        following[stanza["to"]] += 1
    return opcodes, names, fields


OPCODES, NAMES, FIELDS = _load()
TO_WORKER = [name for name, opcode in OPCODES.items() if opcode < FIRST_TO_CLIENT]


def _pad(data: bytearray, alignment: int) -> None:
    data.extend(b"\0" * (-len(data) % alignment))


def _put(data: bytearray, kind: str, value: Any) -> None:
    if kind in _NUMBERS:
        packed = struct.pack(_NUMBERS[kind], value)
        _pad(data, len(packed))
        data.extend(packed)
    elif kind == "u64x3":
        _pad(data, 8)
        data.extend(struct.pack("<3Q", *value))
    elif kind in ("texts", "blobs"):
        _put(data, "u32", len(value))
        for each in value:
            _put(data, "blob", each)
    else:
        code, size = _ARRAYS.get(kind, ("B", 1))
        values = value.encode() if isinstance(value, str) else value
        _put(data, "u32", len(values))
        _pad(data, size)
        data.extend(struct.pack(f"<{len(values)}{code}", *values))


def encode(name: str, values: dict[str, Any]) -> bytes:
    """The fields of a message; what is not given is zero or empty."""
    data = bytearray()
    for kind, field_name in FIELDS[name]:
        default: Any = 0 if kind in _NUMBERS else (0, 0, 0) if kind == "u64x3" else b""
        _put(data, kind, values.get(field_name, default))
    return bytes(data)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, code: str, count: int, size: int) -> tuple[Any, ...]:
        self.at += -self.at % size
        values = struct.unpack_from(f"<{count}{code}", self.data, self.at)
        self.at += count * size
        return values

    def value(self, kind: str) -> Any:
        if kind in _NUMBERS:
            code = _NUMBERS[kind][1]
            return self.take(code, 1, struct.calcsize(code))[0]
        if kind == "u64x3":
            return self.take("Q", 3, 8)
        count = self.take("I", 1, 4)[0]
        if kind in ("texts", "blobs"):
            return [self.value("blob") for _ in range(count)]
        code, size = _ARRAYS.get(kind, ("B", 1))
        values = self.take(code, count, size)
        return bytes(values) if kind in ("text", "blob") else list(values)


@dataclass
class Message:
    """One message from the worker."""

    name: str
    fields: dict[str, Any]
    bulk: bytes = b""


@dataclass
class Wire:
    """One session; `limit` is how long it waits for anything, in seconds."""

    path: str
    transport: int = UNIX
    version: int = VERSION
    token: bytes = b""
    limit: float = 20.0
    sequence: int = 0
    status: int = -1
    descriptor: int | None = None
    _pending: bytearray = field(default_factory=bytearray)
    _next_id: int = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> Self:
        """Opens the socket only."""
        if self.path.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(self.limit)
            self.socket.connect(self.path)
        else:
            host, port = self.path.rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)), self.limit)
        return self

    def hello(self) -> int:
        """Says hello; returns the status of the reply, which is 0 for a session."""
        head = struct.pack("<8sIIII", b"TSRHELLO", self.version, self.transport, len(self.token), 0)
        # A full lease answers and hangs up before it has read anything.
        with suppress(BrokenPipeError):
            self.socket.sendall(head + self.token.ljust(32, b"\0") + bytes(8))
        reply = self._receive_reply()
        assert reply[:8] == b"TSRREPLY", reply
        self.status = struct.unpack_from("<I", reply, 12)[0]
        return self.status

    def open(self) -> Self:
        """Connects, says hello and opens the session. Raises Ended when it is refused."""
        if self.connect().hello() != 0:
            raise Ended(f"status {self.status}")
        self.call("open_session", client_pid=os.getpid(), client_name="raw")
        return self

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
        self.socket.close()

    def new(self) -> int:
        """An id that this session has not used."""
        self._next_id += 1
        return self._next_id

    def raw(self, data: bytes) -> None:
        """Sends bytes as they are. Raises Ended."""
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Ended(str(error)) from error

    def frame(self, opcode: int, fields: bytes, bulk: bytes = b"", /, **lies: int) -> None:
        """Sends one message frame, with any header field replaced by a lie. Raises Ended."""
        self.sequence += 1
        if len(bulk) > INLINE:
            self._fragments(bulk)
        header = {
            "opcode": opcode,
            "kind": 1,
            "bulk_in": 0 if not bulk else IN_FRAME if len(bulk) <= INLINE else APART,
            "fields_size": len(fields),
            "sequence": self.sequence,
            "bulk_size": len(bulk),
            "reserved": 0,
            "bulk_at": 0,
        } | lies
        data = bytearray(HEADER.pack(*header.values()) + fields)
        _pad(data, 8)
        if header["bulk_in"] == IN_FRAME:
            data.extend(bulk)
            _pad(data, 8)
        self.raw(bytes(data))

    def _fragments(self, bulk: bytes) -> None:
        for at in range(0, len(bulk), FRAGMENT):
            piece = bulk[at : at + FRAGMENT]
            self.raw(HEADER.pack(0, 2, 0, len(piece), 0, len(bulk), 0, at))
            self.raw(piece + b"\0" * (-len(piece) % 8))

    def post(self, name: str, bulk: bytes = b"", /, **values: Any) -> int:
        """Sends one message; returns its sequence number. Raises Ended."""
        self.frame(OPCODES[name], encode(name, values), bulk)
        return self.sequence

    def call(self, name: str, bulk: bytes = b"", /, **values: Any) -> Message:
        """Sends one message and waits for its reply. Raises Ended."""
        of = self.post(name, bulk, **values)
        return self.until("reply", of=of)

    def until(self, name: str, /, **values: Any) -> Message:
        """The next message of that name with these fields; drops others. Raises Ended."""
        while True:
            message = self.receive()
            if message.name == name and values.items() <= message.fields.items():
                return message

    def receive(self) -> Message:
        """The next message. Raises Ended."""
        bulk = bytearray()
        while True:
            opcode, kind, bulk_in, fields_size, _, bulk_size, _, at = HEADER.unpack(self._take(32))
            if kind == 2:
                bulk[at:] = self._take(fields_size)
            elif kind == 1:
                fields = self._take(fields_size)
                if bulk_in == IN_FRAME:
                    bulk[:] = self._take(bulk_size)
                if bulk:
                    self.raw(HEADER.pack(0, 3, 0, 0, 0, 0, 0, len(bulk)))
                return self._message(opcode, fields, bytes(bulk))

    def ended(self) -> bool:
        """Whether the worker ends the session, rather than keep it past the limit."""
        try:
            while True:
                self.receive()
        except Ended:
            return True
        except TimeoutError:
            return False

    def alive(self) -> bool:
        """Whether the session still answers."""
        try:
            self.call("get_device_and_host_timer", device=0)
        except Ended:
            return False
        return True

    def _message(self, opcode: int, fields: bytes, bulk: bytes) -> Message:
        name = NAMES[opcode]
        reader = _Reader(fields)
        values = {field_name: reader.value(kind) for kind, field_name in FIELDS[name]}
        return Message(name, values, bulk)

    def _take(self, size: int) -> bytes:
        padded = size + -size % 8
        while len(self._pending) < padded:
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionError as error:
                raise Ended(str(error)) from error
            if not data:
                raise Ended("end of stream")
            self._pending.extend(data)
        taken = bytes(self._pending[:size])
        del self._pending[:padded]
        return taken

    def _receive_reply(self) -> bytes:
        data = b""
        while len(data) < 64:
            room = socket.CMSG_SPACE(4)
            try:
                more, ancillary, _, _ = self.socket.recvmsg(64 - len(data), room)
            except ConnectionError as error:
                raise Ended(str(error)) from error
            if not more:
                raise Ended("no reply to the hello")
            data += more
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    self.descriptor = array.array("i", content)[0]
        return data


def addresses(endpoint: str) -> tuple[int, str]:
    """Transport and address of a lease's endpoint, such as shm:/run/... or tcp:127.0.0.1:4711."""
    scheme, address = endpoint.split(":", 1)
    return {"shm": SHM, "unix": UNIX, "tcp": TCP}[scheme], address


class Bench:
    """An honest session's context, queue and buffer, to see whether the worker still computes."""

    def __init__(self, wire: Wire, size: int = 4096) -> None:
        self.wire = wire
        self.size = size
        self.context, self.queue, self.buffer = wire.new(), wire.new(), wire.new()
        wire.post("create_context", context=self.context, devices=[0])
        wire.post("create_queue", queue=self.queue, context=self.context, device=0)
        wire.post("create_buffer", buffer=self.buffer, context=self.context, flags=1, size=size)

    def works(self) -> bool:
        """Writes fresh bytes, reads them back and compares."""
        data = os.urandom(min(self.size, INLINE))
        wire = self.wire
        wire.post("write_buffer", data, queue=self.queue, buffer=self.buffer)
        return self.read(self.buffer, 0, len(data)).bulk == data

    def read(self, buffer: int, offset: int, size: int) -> Message:
        """The worker's answer to a blocking read."""
        ticket = self.wire.new()
        self.wire.post(
            "read_buffer",
            queue=self.queue,
            buffer=buffer,
            offset=offset,
            size=size,
            ticket=ticket,
            blocking=1,
        )
        return self.wire.until("read_done", ticket=ticket)

    def buffer_of(self, size: int, flags: int = 1) -> tuple[int, int]:
        """Asks for a buffer: its id and the status."""
        made = self.wire.new()
        reply = self.wire.call(
            "create_buffer", buffer=made, context=self.context, flags=flags, size=size, confirm=1
        )
        return made, reply.fields["status"]

    def program(self, source: str) -> Sequence[Any]:
        """A built program's id and the build's status."""
        made, ticket = self.wire.new(), self.wire.new()
        self.wire.post(
            "create_program_with_source", source.encode(), program=made, context=self.context
        )
        self.wire.post("build_program", program=made, options="", ticket=ticket)
        return made, self.wire.until("build_done", ticket=ticket).fields["status"]
