"""Prometheus as the source of one tuning: asked where it is wanted, and of the activator only where all pass it."""

import pytest

from controller.errors import BadInputError
from controller.reconcilers.second_source import SecondSource


class Prometheus:
    """Has nothing of any service, and remembers what it was asked."""

    def __init__(self):
        self.queries = []

    async def vector(self, query, **_):
        self.queries.append(query)
        return []


async def follow(second, now_s=0.0, *, is_wanted=True, is_activator_in_path=False):
    return await second.follow(is_wanted=is_wanted, is_activator_in_path=is_activator_in_path, now_s=now_s)


@pytest.fixture
def prometheus():
    return Prometheus()


@pytest.fixture
def second(prometheus):
    return SecondSource(prometheus, ("team", "s"), started_at_s=0.0)


async def test_while_servers_are_the_source_nothing_is_asked(second, prometheus):
    assert await follow(second, is_wanted=False) is None
    assert second.arrivals is None
    assert prometheus.queries == []


async def test_it_goes_when_it_is_not_wanted_any_more(second):
    await follow(second)
    assert second.arrivals is not None
    await follow(second, is_wanted=False)
    assert second.arrivals is None


async def test_an_operator_without_a_prometheus_says_so():
    with pytest.raises(BadInputError, match=r"spec.source: the operator was given no Prometheus"):
        await follow(SecondSource(None, ("team", "s"), started_at_s=0.0))


async def test_the_activator_is_asked_once_all_requests_pass_it(second, prometheus):
    await follow(second)
    await follow(second, 1.0, is_activator_in_path=True)
    await follow(second, 2.0, is_activator_in_path=True)
    assert ["knative-activator" in query for query in prometheus.queries] == [False, True]
