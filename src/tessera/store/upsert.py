# SPDX-License-Identifier: Apache-2.0
"""Writes a row that may be there already, in one statement.

Session.merge() first reads the row, and compares. A lease is written twice before its program can start,
and by a profile of the daemon that was half of its own work for the request.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

from tessera.store.schema import Base

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@cache
def upsert(dialect: str, row: type[Base]) -> Any:
    """INSERT, or UPDATE of all columns where the primary key is there."""
    table = row.__table__
    assert isinstance(table, Table)
    statement = _INSERTS[dialect](table)
    keys = [column.name for column in table.primary_key]
    others = {column.name: column for column in statement.excluded if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=others)
