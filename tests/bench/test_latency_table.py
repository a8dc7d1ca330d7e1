import numpy as np
import pytest

from bench.engines import latency


@pytest.fixture(scope="module")
def results():
    return latency.simulate_all(2000)


@pytest.mark.parametrize("law", latency.LAWS)
def test_requests_are_hedged_after_the_95th_percentile(law):
    service, hedge_after = latency.LAWS[law]
    assert service.tail(hedge_after) == pytest.approx(0.05)
    assert service.mean == pytest.approx(1.0, abs=0.006)


@pytest.fixture(scope="module")
def numbers(results):
    laws = {
        law: {n: latency.summarise(one) for n, one in some.items()} for law, some in results.items()
    }
    return {"n_requests": 2000, "levels": list(latency.LEVELS), "laws": laws}


def test_table_has_a_row_a_policy_and_its_cost(results, numbers):
    (table,) = latency.tables(numbers).values()
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert {len(row) for row in rows} == {9}
    assert [row[0].removeprefix("| ") for row in rows[2:]] == list(latency.policies(1.0))
    never = results["Pareto"]["2 copies, never taken back"]
    assert never.load_per_request == pytest.approx(2.0, rel=0.2)


def test_picture_shows_the_tails(results, numbers):
    (figure,) = latency.draw(numbers).values()
    for axes, by_policy in zip(figure.axes, results.values(), strict=True):
        for line, result in zip(axes.lines, by_policy.values(), strict=True):
            seconds, above = line.get_data()
            measured = (result.latencies[:, None] > seconds).mean(axis=0)
            np.testing.assert_allclose(above, measured, atol=2.0 / result.latencies.size)
