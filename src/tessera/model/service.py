# SPDX-License-Identifier: Apache-2.0
"""What the daemon says about itself."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class Version(BaseModel):
    """The body of GET /v1/version."""

    model_config = ConfigDict(frozen=True)

    version: str
    api: str = "v1"
    python: str
    quota_page: int


class Health(BaseModel):
    """The body of GET /v1/health."""

    model_config = ConfigDict(frozen=True)

    status: str
    version: str
    pid: int
    started_at: datetime
    runtime_folder: str
    leases: int
