"""The benchmarks keep within their limits.

Those of time and memory need a machine that does nothing else: `uv run pytest -m benchmark --timeout=3600`.
"""

from __future__ import annotations

import pytest

from tests.benchmarks import growth, hourly_requests, load, merge, nothing_new, quota


@pytest.mark.deep
def test_an_hourly_sync_makes_hardly_more_requests_than_it_must() -> None:
    assert hourly_requests.run(hours=3, size=0.1) <= 1.10


@pytest.mark.benchmark
def test_a_first_load_uses_the_whole_quota_and_never_more() -> None:
    used, most = quota.run(6_000, 0.15)
    assert used >= 0.95
    assert most <= 1


@pytest.mark.benchmark
def test_a_load_costs_little_more_than_a_straight_script_in_flat_memory() -> None:
    cpu, memory, megabytes = load.run()
    assert cpu <= 1.5
    assert memory <= 1.2
    assert megabytes < 500


@pytest.mark.benchmark
@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
def test_a_merge_costs_the_same_however_long_the_table_is(kind: str) -> None:
    assert merge.run(kind) <= 1.2


@pytest.mark.benchmark
def test_a_sync_with_nothing_new_costs_little_more_than_a_build() -> None:
    assert nothing_new.run(1_000) <= 1.5


@pytest.mark.benchmark
def test_requests_and_time_grow_no_faster_than_the_medias() -> None:
    requests, time, memory, state_bytes = growth.run()
    assert requests <= 10
    assert time <= 10
    assert memory <= 1.25
    assert state_bytes < 1_000_000
