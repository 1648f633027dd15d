# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from tessera.bench.statistics import median_interval, paired_ratios, quantile


def test_quantiles_are_interpolated() -> None:
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.0) == 1.0
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert quantile([4.0, 1.0, 3.0, 2.0], 1.0) == 4.0
    assert quantile([7.0], 0.25) == 7.0


def test_nothing_has_no_quantile_and_no_interval() -> None:
    with pytest.raises(ValueError, match="nothing"):
        quantile([], 0.5)
    with pytest.raises(ValueError, match="nothing"):
        median_interval([])


def test_ratios_are_taken_pair_by_pair() -> None:
    # The machine was twice as slow during the second pair; the ratio does not notice.
    assert paired_ratios([[9.0, 10.0, 11.0], [20.0]], [[5.0], [9.0, 10.0, 30.0]]) == [2.0, 2.0]


def test_slices_without_a_partner_are_refused() -> None:
    with pytest.raises(ValueError, match="2 slices beside 1"):
        paired_ratios([[1.0], [1.0]], [[1.0]])


def test_the_interval_holds_the_median_and_shrinks_to_it() -> None:
    low, high = median_interval([0.9, 1.0, 1.1, 1.0, 0.95, 1.05])
    assert 0.9 <= low <= 1.0 <= high <= 1.1
    assert low < high
    assert median_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)


def test_the_same_samples_give_the_same_interval() -> None:
    values = [0.9, 1.0, 1.1, 1.3, 0.7]
    assert median_interval(values) == median_interval(values)
