# SPDX-License-Identifier: Apache-2.0
"""The store gives back what it was given, and refuses by name what it cannot serve."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from helpers import fakes
from helpers.postgresql import Server, postgresql
from tessera.model.direct import DirectDevice, DirectKind
from tessera.model.errors import (
    DiskFull,
    RuntimeFolderUnusable,
    StoreError,
    StoreTooNew,
    StoreUnreachable,
)
from tessera.model.lease import (
    DEFAULT_WEIGHT,
    GpuShare,
    Identity,
    Lease,
    LeaseState,
    Mode,
    ProcessId,
    Transport,
)
from tessera.model.policy import PolicyChange, PolicyKind
from tessera.store import Store, database

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def a_lease(key: str = "0123", state: LeaseState = LeaseState.ACTIVE, age: int = 0) -> Lease:
    return Lease(
        id=key,
        name=f"name-{key}",
        state=state,
        transport=Transport.TCP,
        identity=Identity.DEVICE,
        weight=7,
        gpus=(GpuShare(gpu="gpu0", memory=1 << 62), GpuShare(gpu="gpu1", memory=1)),
        mode=Mode.DIRECT,
        direct=(
            DirectDevice(
                kind=DirectKind.FUNCTION,
                key="0000:65:00.0",
                group=17,
                former_driver="nvidia",
                gpu=fakes.gpu(),
            ),
        ),
        endpoint="tcp:127.0.0.1:1",
        environment={"TESSERA_ENDPOINT": "tcp:127.0.0.1:1"},
        environment_unset=("TESSERA_TOKEN",),
        command=("python", "ä b"),
        holder=ProcessId(pid=1, started=2, boot="b"),
        machine="tessera-machine-0123456789abcdef0123456789abcdef",
        owner_uid=(1 << 32) - 2,
        reason="because",
        created_at=NOW,
        updated_at=NOW - timedelta(seconds=age),
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgresql() as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state/tessera.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        sqlite: str = request.getfixturevalue("sqlite_url")
        return sqlite
    server: Server = request.getfixturevalue("server")
    return server.new_database()


def test_a_lease_survives_in_every_field(url: str) -> None:
    for _ in range(2):
        store = with_store(url)
        store.save(a_lease())
        store.close()
    store = with_store(url)
    assert store.live() == [a_lease()]
    store.close()


def with_store(url: str, node: str = "here") -> Store:
    return Store(url, node)


def test_a_changed_lease_replaces_itself(url: str) -> None:
    store = with_store(url)
    store.save(a_lease())
    store.save(a_lease(state=LeaseState.RELEASED))
    assert store.live() == []
    assert [lease.state for lease in store.released()] == [LeaseState.RELEASED]
    store.close()


def test_nodes_do_not_see_each_other(url: str) -> None:
    here, there = with_store(url), with_store(url, "there")
    here.save(a_lease())
    assert there.live() == []
    assert there.find("0123") is None
    assert here.find("name-0123") == a_lease()
    here.close()
    there.close()


def test_a_name_finds_the_latest_lease_and_an_id_its_own(url: str) -> None:
    store = with_store(url)
    old = a_lease("0aaa", LeaseState.RELEASED, age=60).model_copy(update={"name": "job"})
    new = a_lease("0bbb", LeaseState.RELEASED).model_copy(update={"name": "job"})
    for lease in (new, old):
        store.save(lease)
    assert store.find("job") == new
    assert store.find("0aaa") == old
    store.close()


def test_old_releases_are_forgotten(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "KEPT_RELEASED", 3)
    store = with_store(url)
    store.save(a_lease("live"))
    for age in range(8):
        store.save(a_lease(f"{age}", LeaseState.RELEASED, age))
    store.prune()
    assert [lease.id for lease in store.released()] == ["2", "1", "0"]
    assert [lease.id for lease in store.live()] == ["live"]
    store.close()


def test_tables_of_a_newer_tessera_are_left_alone(url: str) -> None:
    with_store(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE tessera_schema SET version = 99"))
    engine.dispose()
    with pytest.raises(StoreTooNew, match="version 99"):
        with_store(url)


def test_tables_of_an_earlier_version_gain_the_defaults(url: str) -> None:
    store = with_store(url)
    store.save(a_lease())
    store.close()
    engine = create_engine(url)
    with engine.begin() as connection:
        for column in ("identity", "weight"):
            connection.execute(text(f"ALTER TABLE leases DROP COLUMN {column}"))
        connection.execute(text("UPDATE tessera_schema SET version = 1"))
    engine.dispose()
    for _ in range(2):
        store = with_store(url)
        defaults = {"identity": Identity.TESSERA, "weight": DEFAULT_WEIGHT}
        assert store.live() == [a_lease().model_copy(update=defaults)]
        store.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "tessera.db").write_bytes(b"something else" * 1000)
    with pytest.raises(StoreUnreachable) as refusal:
        with_store(f"sqlite:///{tmp_path}/tessera.db")
    assert "TESSERA_DATABASE_URL" in refusal.value.hint


@pytest.mark.parametrize("url", ["nonsense", "oracle+x://host/db", "sqlite+missing:///x"])
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(StoreUnreachable):
        with_store(url)


def test_a_full_disk_has_its_own_name(sqlite_url: str) -> None:
    store = with_store(sqlite_url)
    store.save(a_lease("0000"))
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        connection.commit()
    big = a_lease("0001").model_copy(update={"command": ("x" * 100_000,)})
    with pytest.raises(DiskFull):
        store.save(big)
    store.close()


def test_a_state_folder_that_others_may_write(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(RuntimeFolderUnusable, match="another user"):
        with_store(f"sqlite:///{folder}/tessera.db")


def test_a_database_server_that_goes_and_comes_back() -> None:
    with postgresql() as server:
        store = with_store(server.new_database())
        store.save(a_lease())
        server.stop()
        with pytest.raises(StoreError) as refusal:
            store.live()
        assert "TESSERA_DATABASE_URL" in refusal.value.hint
        with pytest.raises(StoreUnreachable):
            with_store(server.url())
        server.start()
        assert store.live() == [a_lease()]
        store.close()


def test_the_tables_of_an_older_tessera_get_what_they_lack(url: str) -> None:
    store = with_store(url)
    store.save(a_lease())
    store.close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE leases DROP COLUMN weight"))
        connection.execute(text("DROP TABLE gpu_policies"))
        connection.execute(text("UPDATE tessera_schema SET version = 1"))
    engine.dispose()
    store = with_store(url)
    assert store.live() == [a_lease().model_copy(update={"weight": DEFAULT_WEIGHT})]
    assert store.policies() == {}
    store.close()


def test_the_policy_of_a_gpu_is_kept(url: str) -> None:
    fixed = PolicyChange(policy=PolicyKind.FIXED)
    short = PolicyChange(policy=PolicyKind.EQUAL, time_slice_ms=1.5)
    here, there = with_store(url), with_store(url, "there")
    for chosen in (fixed, short):
        here.save_policy("gpu0", chosen)
    here.save_policy("gpu1", fixed)
    assert here.policies() == {"gpu0": short, "gpu1": fixed}
    assert there.policies() == {}
    here.close()
    there.close()
