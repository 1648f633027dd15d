# SPDX-License-Identifier: Apache-2.0
"""What every part of a result is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Base: frozen, and strict about names, so that an old report is never half understood."""

    model_config = ConfigDict(frozen=True, extra="forbid")
