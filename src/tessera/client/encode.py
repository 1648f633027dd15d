# SPDX-License-Identifier: Apache-2.0
"""A request as JSON, without the json module where its words are plain: importing it, and re with it,
takes 12 ms, a fifth of what `tessera run` may take."""

from __future__ import annotations


def encode(fields: dict[str, object]) -> bytes:
    """JSON (RFC 8259) of an object of None, int, float, str and lists of these."""
    members = (f"{_text(name)}: {_value(value)}" for name, value in fields.items())
    return ("{" + ", ".join(members) + "}").encode("ascii")


def _value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value)
    raise TypeError(f"no JSON here for {type(value).__name__}")


def _text(text: str) -> str:
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    import json

    return json.dumps(text)
