# SPDX-License-Identifier: Apache-2.0
"""The store: what a daemon must still know after it was killed.

SQLite runs with a write-ahead log and without an fsync for each commit: a daemon that is killed loses
nothing that way, and a host that loses power has lost the leases themselves, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    delete,
    event,
    inspect,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tessera import paths
from tessera.model.errors import DiskFull, StoreError, StoreTooNew, StoreUnreachable
from tessera.model.lease import Lease, LeaseState
from tessera.model.policy import PolicyChange
from tessera.store.schema import (
    MIGRATIONS,
    SCHEMA_VERSION,
    Base,
    LeaseRow,
    PolicyRow,
    SchemaRow,
)
from tessera.store.upsert import upsert

KEPT_RELEASED = 1000
_PRUNE_EVERY = 100


def default_url() -> str:
    """$TESSERA_DATABASE_URL, else tessera.db in the state folder."""
    return os.environ.get("TESSERA_DATABASE_URL") or (
        "sqlite:///" + os.path.join(paths.state_folder(), "tessera.db")
    )


class Store:
    """The leases of one node. Thread-safe: each call takes its own connection."""

    def __init__(self, url: str, node: str) -> None:
        """Opens the database and brings its tables up to date.

        Raises StoreUnreachable, StoreTooNew, StoreError, DiskFull or RuntimeFolderUnusable.
        """
        self._node = node
        self._engine = _open(url)
        self._released = 0
        try:
            with _named_errors(opening=True), self._engine.begin() as connection:
                _migrate(connection)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._engine.dispose()

    def save(self, lease: Lease) -> None:
        """Writes a new or changed lease. Raises StoreError or DiskFull."""
        self._write(LeaseRow, LeaseRow.values(self._node, lease))
        if lease.state is LeaseState.RELEASED:
            self._released += 1
            if self._released % _PRUNE_EVERY == 0:
                self.prune()

    def live(self) -> list[Lease]:
        """Every lease that is not released, oldest first. Raises StoreError."""
        return self._select(LeaseRow.state != LeaseState.RELEASED.value)

    def released(self, limit: int = KEPT_RELEASED) -> list[Lease]:
        """The leases that ended last, oldest first. Raises StoreError."""
        return self._select(LeaseRow.state == LeaseState.RELEASED.value, limit=limit)

    def find(self, key: str) -> Lease | None:
        """The lease with this id, else the latest one with this name. Raises StoreError."""
        found = self._select((LeaseRow.id == key) | (LeaseRow.name == key))
        exact = [lease for lease in found if lease.id == key]
        return next(reversed(exact or found), None)

    def policies(self) -> dict[str, PolicyChange]:
        """The policy that was chosen for each GPU that has one of its own. Raises StoreError."""
        query = select(PolicyRow).where(PolicyRow.node == self._node)
        with _named_errors(), Session(self._engine) as session:
            return {row.gpu: row.chosen() for row in session.scalars(query)}

    def save_policy(self, gpu: str, chosen: PolicyChange) -> None:
        """Writes the policy of a GPU. Raises StoreError or DiskFull."""
        self._write(PolicyRow, PolicyRow.values(self._node, gpu, chosen))

    def prune(self) -> None:
        """Forgets all but the last KEPT_RELEASED released leases. Raises StoreError."""
        released = LeaseRow.state == LeaseState.RELEASED.value
        newest = (
            select(LeaseRow.id)
            .where(LeaseRow.node == self._node, released)
            .order_by(LeaseRow.updated_at.desc())
            .limit(KEPT_RELEASED)
        )
        stale = delete(LeaseRow).where(
            LeaseRow.node == self._node, released, LeaseRow.id.not_in(newest)
        )
        with _named_errors(), Session(self._engine) as session, session.begin():
            session.execute(stale, execution_options={"synchronize_session": False})

    def _write(self, row: type[Base], values: dict[str, Any]) -> None:
        with _named_errors(), self._engine.begin() as connection:
            connection.execute(upsert(self._engine.dialect.name, row), values)

    def _select(self, condition: object, limit: int | None = None) -> list[Lease]:
        query = (
            select(LeaseRow)
            .where(LeaseRow.node == self._node, condition)  # type: ignore[arg-type]
            .order_by(LeaseRow.updated_at.desc(), LeaseRow.id)
            .limit(limit)
        )
        with _named_errors(), Session(self._engine) as session:
            return [row.lease() for row in session.scalars(query)][::-1]


def _open(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            paths.make_private_folder(os.path.dirname(os.path.abspath(parsed.database)))
        engine = create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite")
    except (SQLAlchemyError, ImportError) as error:
        raise StoreUnreachable(
            f"The database URL cannot be used: {error}.",
            "Set TESSERA_DATABASE_URL to sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME.",
        ) from error
    if parsed.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _set_pragmas)
    return engine


def _set_pragmas(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()


def _migrate(connection: Connection) -> None:
    known = inspect(connection).has_table(SchemaRow.__tablename__)
    version = (connection.scalar(select(SchemaRow.version)) if known else None) or 0
    if version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"The database has tables of version {version}; this Tessera knows {SCHEMA_VERSION}.",
            "Use the newer Tessera that wrote it, or set TESSERA_STATE_DIR to another folder.",
        )
    for step in MIGRATIONS[version:]:
        step(connection)
    if not version:
        connection.execute(SchemaRow.__table__.insert().values(version=SCHEMA_VERSION))  # type: ignore[attr-defined]
    elif version < SCHEMA_VERSION:
        connection.execute(update(SchemaRow).values(version=SCHEMA_VERSION))


@contextmanager
def _named_errors(opening: bool = False) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error)
        if "disk is full" in cause or "disk I/O error" in cause:
            raise DiskFull(
                f"The database cannot be written: {cause}.",
                f"Free some space in {paths.state_folder()} or set TESSERA_STATE_DIR.",
            ) from error
        kind = StoreUnreachable if opening else StoreError
        raise kind(
            f"The database refused an operation: {cause}.",
            "Check TESSERA_DATABASE_URL or the folder in TESSERA_STATE_DIR, then try again.",
        ) from error
