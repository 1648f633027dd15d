# SPDX-License-Identifier: Apache-2.0
"""Leases on disk: SQLite by default, PostgreSQL by URL."""

from tessera.store.database import Store, default_url

__all__ = ["Store", "default_url"]
