#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turn ``opencl.toml`` into native/generated/ and docs/entry-points.md.

Specification -> model -> templates that look like the C++ they emit. The model is made here, so that the
templates hold no decisions; Jinja2 renders them because it is the template language most readers know.

``generate.py`` writes; ``generate.py --check`` compares and exits 1 when a file is stale.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

ROOT = Path(__file__).resolve().parent.parent
SPECIFICATION = ROOT / "protocol" / "opencl.toml"
TEMPLATES = ROOT / "protocol" / "templates"
GENERATED = ROOT / "native" / "generated"

# Field type -> (C++ type, method of Encoder and Decoder).
FIELD_TYPES = {
    "u32": ("std::uint32_t", "u32"),
    "i32": ("std::int32_t", "i32"),
    "u64": ("std::uint64_t", "u64"),
    "u64x3": ("Id3", "u64x3"),
    "u32s": ("std::span<const std::uint32_t>", "u32s"),
    "i32s": ("std::span<const std::int32_t>", "i32s"),
    "u64s": ("std::span<const std::uint64_t>", "u64s"),
    "text": ("std::string_view", "text"),
    "texts": ("std::vector<std::string_view>", "texts"),
    "blob": ("Blob", "blob"),
    "blobs": ("std::vector<Blob>", "blobs"),
    "id": ("Id", "u64"),
    "new": ("Id", "u64"),
    "ids": ("std::span<const Id>", "u64s"),
}
FIRST_TO_CLIENT = 256
# Types of Windows' headers, as the calling convention passes them: the entry points that take them
# are refused, but a caller still reads the error code and the NULL that they return.
LINUX_TYPES = {
    "ID3D10Buffer *": "void *",
    "ID3D10Texture2D *": "void *",
    "ID3D10Texture3D *": "void *",
    "ID3D11Buffer *": "void *",
    "ID3D11Texture2D *": "void *",
    "ID3D11Texture3D *": "void *",
    "UINT": "cl_uint",
    "cl_d3d10_device_source_khr": "cl_uint",
    "cl_d3d10_device_set_khr": "cl_uint",
    "cl_d3d11_device_source_khr": "cl_uint",
    "cl_d3d11_device_set_khr": "cl_uint",
    "cl_dx9_media_adapter_type_khr": "cl_uint",
    "cl_dx9_media_adapter_type_khr *": "cl_uint *",
    "cl_dx9_media_adapter_set_khr": "cl_uint",
}
CPP_OBJECTS = {
    "context": "Context",
    "queue": "Queue",
    "mem": "Mem",
    "sampler": "Sampler",
    "program": "Program",
    "kernel": "Kernel",
    "event": "Event",
    "command_buffer": "CommandBuffer",
    "device": "Device",
    "platform": "Platform",
}


class SpecificationError(Exception):
    """The specification contradicts itself; the message names the stanza."""


@dataclass(frozen=True)
class Field:
    type: str
    name: str
    optional: bool

    @property
    def cpp(self) -> str:
        return FIELD_TYPES[self.type.split(":")[0]][0]

    @property
    def codec(self) -> str:
        return FIELD_TYPES[self.type.split(":")[0]][1]


@dataclass(frozen=True)
class Message:
    name: str
    opcode: int
    to: str
    object: str
    kind: str
    handler: str
    fields: list[Field]
    own_fields: list[Field]
    bulk: bool
    answer: str
    driver: str
    require: str

    @property
    def struct(self) -> str:
        return "".join(part.capitalize() for part in self.name.split("_"))


@dataclass(frozen=True)
class Argument:
    type: str
    name: str
    how: str

    def declare(self, *, named: bool = True) -> str:
        type_ = LINUX_TYPES.get(self.type, self.type)
        separator = "" if type_.endswith("*") else " "
        return f"{type_}{separator}{self.name if named else ''}".rstrip()


@dataclass
class Call:
    name: str
    object: str
    since: str
    cls: str
    sync: str
    body: str
    returns: str
    error: str = ""
    command: str = ""
    check: str = ""
    messages: list[str] = field(default_factory=list)
    args: list[Argument] = field(default_factory=list)
    message: Message | None = None
    in_table: bool = True

    def __getattr__(self, name: str) -> str:
        # The specification says `class`, which Python keeps for itself.
        if name == "class":
            return self.cls
        raise AttributeError(name)

    @property
    def typed(self) -> bool:
        return "D3D" not in self.name and "DX9" not in self.name

    @property
    def parameters(self) -> str:
        return ", ".join(a.declare() for a in self.args) or ""

    @property
    def error_argument(self) -> Argument | None:
        return next((a for a in self.args if a.name == "errcode_ret"), None)

    @property
    def error_name(self) -> str:
        return "errcode_ret"

    @property
    def refused_handle(self) -> Argument | None:
        """The argument that a refused call still checks: a bad handle is the caller's fault first."""
        first = self.args[0]
        kind = first.how.removeprefix("handle:")
        return first if kind != first.how and kind in CPP_OBJECTS else None

    @property
    def refused_parameters(self) -> str:
        used = {"errcode_ret"} | ({self.refused_handle.name} if self.refused_handle else set())
        return ", ".join(a.declare(named=a.name in used) for a in self.args)

    @property
    def reference(self) -> str:
        if match := re.match(r"cl(Retain|Release)\w+", self.name):
            return match.group(1).lower() + "_reference"
        return ""

    @property
    def cpp_object(self) -> str:
        return CPP_OBJECTS[self.args[0].how.split(":")[1]]

    @property
    def own_args(self) -> list[Argument]:
        hidden = {"command_queue", "num_events_in_wait_list", "event_wait_list", "event"}
        return [a for a in self.args if a.name not in hidden]

    @property
    def check_arguments(self) -> str:
        return "".join(
            f", {a.name}_object" if a.how == "handle:mem" else f", {a.name}" for a in self.own_args
        )

    @property
    def assignments(self) -> list[str]:
        assert self.message is not None
        return [self._assignment(f) for f in self.message.own_fields]

    def _assignment(self, f: Field) -> str:
        source = {"mem_objects": "mem_object_ids"}.get(f.name, f.name)
        if f.type == "id:mem":
            return f"message.{f.name} = {source}_object.id();"
        if f.type == "u64x3":
            return f"message.{f.name} = triple({source});"
        if f.type == "blob":
            return f"message.{f.name} = bytes({source}, {source}_size);"
        return f"message.{f.name} = {source};"


def read_fields(stanza: dict[str, Any]) -> list[Field]:
    return [Field(f[0], f[1], "optional" in f[2:]) for f in stanza["fields"]]


def read_messages(specification: dict[str, Any]) -> list[Message]:
    common = [
        Field("id:queue", "queue", False),
        Field("ids:event", "wait_list", False),
        Field("new:event", "event", True),
    ]
    messages = []
    opcodes = {"worker": 1, "client": FIRST_TO_CLIENT}
    for name, stanza in specification["message"].items():
        own = read_fields(stanza)
        for each in own:
            if each.type.split(":")[0] not in FIELD_TYPES:
                raise SpecificationError(f"message.{name}: unknown field type {each.type}")
        messages.append(
            Message(
                name=name,
                opcode=opcodes[stanza["to"]],
                to=stanza["to"],
                object=stanza["object"],
                kind=stanza["kind"],
                handler=stanza.get("handler", "written"),
                fields=common + own if stanza["kind"] == "command" else own,
                own_fields=own,
                bulk=stanza.get("bulk", False),
                answer=stanza.get("answer", ""),
                driver=stanza.get("driver", ""),
                require=stanza.get("require", ""),
            )
        )
        opcodes[stanza["to"]] += 1
    return messages


def read_calls(specification: dict[str, Any], messages: list[Message]) -> list[Call]:
    by_name = {m.name: m for m in messages}
    calls = []
    stanzas = [(name, each, True) for name, each in specification["call"].items()]
    stanzas += [(name, each, False) for name, each in specification["extension"].items()]
    for name, stanza, in_table in stanzas:
        unknown = [m for m in stanza.get("messages", []) if m not in by_name]
        if unknown:
            raise SpecificationError(f"call.{name}: unknown messages {unknown}")
        call = Call(
            name=name,
            object=stanza["object"],
            since=stanza["since"],
            cls=stanza["class"],
            sync=stanza["sync"],
            body=stanza["body"],
            returns=stanza["returns"],
            error=stanza.get("error", ""),
            command=stanza.get("command", ""),
            check=stanza.get("check", ""),
            messages=stanza.get("messages", []),
            args=[Argument(*a) for a in stanza.get("args", [])],
            in_table=in_table,
        )
        if call.cls == "refused" and not call.error:
            raise SpecificationError(f"call.{name}: refused without an error")
        if call.check:
            call.message = by_name[call.messages[0]]
        calls.append(call)
    return calls


def render(messages: list[Message], calls: list[Call]) -> dict[Path, str]:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=False,
    )
    environment.filters["code"] = lambda text: f"`{text}`"
    files: dict[Path, str] = {}

    def add(path: Path, template: str, **values: Any) -> None:
        files[path] = environment.get_template(template).render(**values)

    add(GENERATED / "opcode.h", "opcode.h.j2", messages=messages, first_to_client=FIRST_TO_CLIENT)
    add(GENERATED / "opcode.cpp", "opcode.cpp.j2", messages=messages)
    for name in sorted({m.object for m in messages}):
        own = [m for m in messages if m.object == name]
        add(GENERATED / f"messages_{name}.h", "messages.h.j2", messages=own)
        add(GENERATED / f"messages_{name}.cpp", "messages.cpp.j2", messages=own, object=name)
        generated = [m for m in own if m.to == "worker" and m.handler == "generated"]
        if generated:
            path = GENERATED / f"worker_{name}.cpp"
            add(path, "worker_object.cpp.j2", messages=generated, object=name)
    for side in ("worker", "client"):
        own = [m for m in messages if m.to == side]
        objects = sorted({m.object for m in own})
        path = GENERATED / f"dispatch_to_{side}.h"
        add(path, "dispatch.h.j2", messages=own, objects=objects, side=side)
    add(GENERATED / "client_entries.h", "client_entries.h.j2", calls=calls)
    add(GENERATED / "client_dispatch.cpp", "client_dispatch.cpp.j2", calls=calls)
    for name in sorted({c.object for c in calls}):
        own_calls = [c for c in calls if c.object == name and c.body == "generated"]
        if own_calls:
            path = GENERATED / f"client_{name}.cpp"
            add(path, "client_object.cpp.j2", calls=own_calls)
    table = [c for c in calls if c.in_table]
    counts = {k: sum(c.cls == k for c in table) for k in ("forwarded", "local", "refused")}
    extensions = [c for c in calls if not c.in_table]
    path = ROOT / "docs" / "entry-points.md"
    add(path, "entry-points.md.j2", calls=table, extensions=extensions, counts=counts)
    return {path: formatted(path, text) for path, text in files.items()}


def formatted(path: Path, text: str) -> str:
    if path.suffix not in (".h", ".cpp"):
        return text
    command = ["clang-format-14", f"--assume-filename={path}"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    specification = tomllib.loads(SPECIFICATION.read_text())
    messages = read_messages(specification)
    files = render(messages, read_calls(specification, messages))
    stale = [p for p, text in files.items() if not p.exists() or p.read_text() != text]
    kept = (
        {p for p in GENERATED.glob("*") if p.suffix in (".h", ".cpp")}
        if GENERATED.exists()
        else set()
    )
    orphans = sorted(kept - set(files))
    if arguments.check:
        for path in stale:
            print(f"stale: {path.relative_to(ROOT)}; run protocol/generate.py", file=sys.stderr)
        for path in orphans:
            print(f"not generated any more: {path.relative_to(ROOT)}; remove it", file=sys.stderr)
        return 1 if stale or orphans else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path])
        print(f"wrote {path.relative_to(ROOT)}", file=sys.stderr)
    for path in orphans:
        print(f"not generated any more: {path.relative_to(ROOT)}; remove it", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
