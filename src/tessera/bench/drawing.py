# SPDX-License-Identifier: Apache-2.0
"""What all plots share: the drawing library, the layout, the line below, and the look of policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tessera.bench.errors import BenchPackageMissing
from tessera.bench.result import Report
from tessera.model.policy import PolicyKind

if TYPE_CHECKING:
    from matplotlib.layout_engine import ConstrainedLayoutEngine

# Told apart also without colours (by the marker) and by readers who see few of them.
POLICY_COLOURS = {
    PolicyKind.EQUAL: "#0072b2",
    PolicyKind.BEST_EFFORT: "#e69f00",
    PolicyKind.FIXED: "#d55e00",
    PolicyKind.WEIGHTED: "#cc79a7",
}
POLICY_MARKERS = {
    PolicyKind.EQUAL: "o",
    PolicyKind.BEST_EFFORT: "s",
    PolicyKind.FIXED: "^",
    PolicyKind.WEIGHTED: "D",
}
TARGET = "#009e73"
GRID = "#dddddd"


def pyplot() -> Any:
    """matplotlib.pyplot, for files only. Raises BenchPackageMissing."""
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise BenchPackageMissing(
            "A plot needs the package 'matplotlib'.", "Run `make setup`."
        ) from error
    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def layout(caption: float) -> ConstrainedLayoutEngine:
    """Keeps the lowest part of the figure (0 to 1) free for the caption."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return ConstrainedLayoutEngine(rect=(0, caption, 1, 1 - caption))


def caption(report: Report) -> str:
    """Where and from what the figures come."""
    host = report.host
    facts = (
        f"{host.cpu}, {len(host.affinity)} of {host.cores} cores",
        host.kernel,
        host.hypervisor or "",
        f"Tessera {report.tessera_version} at {report.commit or 'an unknown commit'}",
        f"{report.started_at:%Y-%m-%d}",
    )
    return ", ".join(fact for fact in facts if fact)
