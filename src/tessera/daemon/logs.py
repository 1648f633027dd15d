# SPDX-License-Identifier: Apache-2.0
"""One line for each thing that happened, to stderr: words for people, JSON with TESSERA_LOG_FORMAT=json."""

from __future__ import annotations

import os
import sys

import structlog


def configure() -> None:
    as_json = os.environ.get("TESSERA_LOG_FORMAT") == "json"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer()
            if as_json
            else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
