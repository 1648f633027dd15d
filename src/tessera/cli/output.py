# SPDX-License-Identifier: Apache-2.0
"""Data to stdout as a table or as JSON; talk to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console, RenderableType

# Piped tables are read by programs: nothing is cut there.
_PIPE_WIDTH = 1000


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[
    Format, typer.Option("--output", "-o", help="How to print the result.", show_default=True)
]


def console() -> Console:
    """Stdout at the terminal's width, or as wide as needed where nobody looks."""
    width = None if sys.stdout.isatty() or _columns_given() else _PIPE_WIDTH
    return Console(width=width, highlight=False, soft_wrap=False)


def _columns_given() -> bool:
    import os

    return os.environ.get("COLUMNS", "").isdecimal()


def print_json(data: BaseModel | Sequence[BaseModel] | dict[str, Any]) -> None:
    """Prints models as indented JSON, with sizes in bytes and times in UTC."""
    if isinstance(data, BaseModel):
        plain: object = data.model_dump(mode="json")
    elif isinstance(data, dict):
        plain = data
    else:
        plain = [item.model_dump(mode="json") for item in data]
    print(json.dumps(plain, indent=2, ensure_ascii=False))


def print_tables(*tables: RenderableType) -> None:
    """Prints tables and lines; trailing blanks are cut, so that they survive a diff."""
    out = console()
    with out.capture() as captured:
        for table in tables:
            out.print(table, markup=False) if isinstance(table, str) else out.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def say(text: str) -> None:
    """Tells a person something that is not data."""
    print(text, file=sys.stderr)
