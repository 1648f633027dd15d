# SPDX-License-Identifier: Apache-2.0
"""The tables, and the steps from one version of them to the next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Connection, DateTime, Index, Integer, String, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import TypeDecorator

from tessera.model.lease import DEFAULT_WEIGHT, Identity, Lease
from tessera.model.policy import PolicyChange, PolicyKind

# What a lease shows of the moment.
_PASSING = {"conditions", "waiting"}


class UtcDateTime(TypeDecorator[datetime]):
    """SQLite forgets the time zone; everything stored here is UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Base(DeclarativeBase):
    """All tables of Tessera."""


class SchemaRow(Base):
    """One row: the version that the tables have."""

    __tablename__ = "tessera_schema"

    version: Mapped[int] = mapped_column(Integer, primary_key=True)


class LeaseRow(Base):
    """One lease. `node` names the daemon that owns it, so that hosts can share a database."""

    __tablename__ = "leases"
    __table_args__ = (Index("leases_by_node_and_state", "node", "state", "updated_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    node: Mapped[str] = mapped_column(String(512))
    name: Mapped[str] = mapped_column(String(64), index=True)
    state: Mapped[str] = mapped_column(String(16))
    mode: Mapped[str] = mapped_column(String(16))
    transport: Mapped[str] = mapped_column(String(16))
    identity: Mapped[str] = mapped_column(String(16), server_default=Identity.TESSERA.value)
    weight: Mapped[int] = mapped_column(Integer, server_default=str(DEFAULT_WEIGHT))
    priority: Mapped[int] = mapped_column(Integer, server_default="0")
    gpus: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    direct: Mapped[list[dict[str, Any]]] = mapped_column(JSON, server_default="[]")
    endpoint: Mapped[str | None] = mapped_column(String(512))
    environment: Mapped[dict[str, str]] = mapped_column(JSON)
    environment_unset: Mapped[list[str]] = mapped_column(JSON)
    command: Mapped[list[str]] = mapped_column(JSON)
    holder: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    machine: Mapped[str | None] = mapped_column(String(64))
    gatekeeper: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    owner_uid: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str | None] = mapped_column(String(4096))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @staticmethod
    def values(node: str, lease: Lease) -> dict[str, Any]:
        fields = lease.model_dump(mode="json", exclude=_PASSING)
        times = {"created_at": lease.created_at, "updated_at": lease.updated_at}
        return {**fields, **times, "node": node}

    def lease(self) -> Lease:
        fields = Lease.model_fields.keys() - _PASSING
        return Lease.model_validate({name: getattr(self, name) for name in fields})


class PolicyRow(Base):
    """The policy that was chosen for a GPU of a node; GPUs without a row follow the host's setting."""

    __tablename__ = "gpu_policies"

    node: Mapped[str] = mapped_column(String(512), primary_key=True)
    gpu: Mapped[str] = mapped_column(String(64), primary_key=True)
    policy: Mapped[str] = mapped_column(String(16))
    time_slice_us: Mapped[int | None] = mapped_column(Integer)

    @staticmethod
    def values(node: str, gpu: str, chosen: PolicyChange) -> dict[str, Any]:
        policy, slice_us = chosen.policy.value, chosen.slice_us
        return {"node": node, "gpu": gpu, "policy": policy, "time_slice_us": slice_us}

    def chosen(self) -> PolicyChange:
        milliseconds = None if self.time_slice_us is None else self.time_slice_us / 1000
        return PolicyChange(policy=PolicyKind(self.policy), time_slice_ms=milliseconds)


def _create_tables(connection: Connection) -> None:
    Base.metadata.create_all(connection)


def _add_sharing(connection: Connection) -> None:
    _create_tables(connection)
    _add_missing_columns(connection)


def _add_missing_columns(connection: Connection) -> None:
    """Gives the leases of an earlier version what leases have gained since, at its default."""
    table = Base.metadata.tables[LeaseRow.__tablename__]
    there = {column["name"] for column in inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in there:
            text = CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {text}")


# Step N takes the tables from version N to version N + 1. Version 2 has identity, weight and policies,
# version 3 priority, version 4 machine, version 5 direct devices.
MIGRATIONS: tuple[Callable[[Connection], None], ...] = (
    _create_tables,
    _add_sharing,
    _add_missing_columns,
    _add_missing_columns,
    _add_missing_columns,
)

SCHEMA_VERSION = len(MIGRATIONS)
