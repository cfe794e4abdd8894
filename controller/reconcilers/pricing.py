"""What a tuning reckons with: the prices that came with the operator, or those of a ConfigMap that the spec names."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

from controller.domain.prices import cluster_prices, load_prices
from controller.errors import BadInputError
from controller.platforms.cluster_client import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.domain.prices import ClusterPrices
    from controller.platforms.cluster_client import Cluster
    from controller.reconcilers.resources import ConfigMapKey

KEPT_S = 60.0
"""How long a ConfigMap's prices are taken for its present ones."""


@functools.cache
def _own() -> ClusterPrices:
    return load_prices().cluster


class Pricing:
    """The prices of one tuning.

    Args:
        cluster: for calls.
        namespace: of the tuning and of its ConfigMap.
        now: the tuning's clock.
    """

    def __init__(self, cluster: Cluster, namespace: str, now: Callable[[], float]) -> None:
        self._cluster, self._namespace, self._now = cluster, namespace, now
        self._read: tuple[ConfigMapKey, float, ClusterPrices] | None = None

    async def prices(self, reference: ConfigMapKey | None) -> ClusterPrices:
        """Return the prices.

        Raises:
            BadInputError: there is no such ConfigMap, or it holds no prices.
            TemporaryError: the cluster does not answer.
        """
        if reference is None:
            return _own()
        if self._read is not None and self._read[0] == reference and self._now() < self._read[1] + KEPT_S:
            return self._read[2]
        where = f"ConfigMap {reference.name}, key {reference.key}"
        try:
            found = await self._cluster.get(f"/api/v1/namespaces/{self._namespace}/configmaps/{reference.name}")
            text = (found.get("data") or {}).get(reference.key)
            prices = cluster_prices(json.loads(text or "")["cluster"], where)
        except MissingError as error:
            raise BadInputError(f"{where}: is not there; create it or remove spec.pricing") from error
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadInputError(f'{where}: needs a price list with "cluster"; see docs/operator.md') from error
        self._read = (reference, self._now(), prices)
        return prices
