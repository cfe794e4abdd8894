"""What the charts run in the operator's image beside it: a check for helm test, a clean-up after an uninstall."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import aiohttp

from controller.errors import TemporaryError, TidegateError
from controller.platforms.cluster_client import connect
from controller.reconcilers.authority import NAME as AUTHORITY
from controller.reconcilers.crds import unserved
from controller.reconcilers.lease import NAME as LEASE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.platforms.cluster_client import Cluster

USAGE = "usage: python -m controller.reconcilers.chart_jobs check ADDRESS | remove-traces NAMESPACE [SERVED…]\n"
PATIENCE_S = 60.0
_POLL_S = 1.0


async def check(cluster: Cluster, address: str, *, patience_s: float = PATIENCE_S) -> None:
    """Return when the resource definitions are served and the operator says at its address that it is ready.

    Raises:
        TemporaryError: they are not, or it does not within a minute.
    """
    missing = await unserved(cluster)
    if missing:
        names = ", ".join(sorted(missing))
        raise TemporaryError(f"the API server does not serve {names}; install charts/tidegate, which brings them")
    why = ""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        try:
            async with asyncio.timeout(patience_s):
                # Polled: another process is asked.
                while why := await _refusal(session, address):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise TemporaryError(f"the operator is not ready at {address}: {why}; see its log") from error


async def _refusal(session: aiohttp.ClientSession, address: str) -> str:
    """Return what speaks against it that the operator is ready; empty where nothing does."""
    try:
        async with session.get(address) as answer:
            return "" if answer.ok else f"answered {answer.status}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"no answer ({error!r})"


async def remove_traces(cluster: Cluster, namespace: str, served: Sequence[str]) -> list[str]:
    """Remove what the operator made beside its release, now that it is gone: it would make them anew.

    That is the link's authority (a Secret), its public part (a ConfigMap in each served namespace) and the Lease.

    Args:
        cluster: for calls.
        namespace: of the operator.
        served: namespaces; none named: all that have the public part.

    Returns:
        The paths that are free now.

    Raises:
        TemporaryError: the cluster does not take it.
    """
    if not served:
        # By name: it is all that the Job may list.
        holders = await cluster.list(f"/api/v1/configmaps?fieldSelector=metadata.name={AUTHORITY}")
        served = [each["metadata"]["namespace"] for each in holders]
    paths = [f"/api/v1/namespaces/{each}/configmaps/{AUTHORITY}" for each in served]
    paths.append(f"/api/v1/namespaces/{namespace}/secrets/{AUTHORITY}")
    paths.append(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{LEASE}")
    for each in paths:
        await cluster.delete(each)
    return paths


def main(arguments: Sequence[str]) -> int:
    """Do what the chart asks for; returns the exit code."""
    try:
        match list(arguments):
            case ["check", address]:
                asyncio.run(check(connect(), address))
                sys.stdout.write("resource definitions are served, the operator is ready\n")
            case ["remove-traces", namespace, *served]:
                for path in asyncio.run(remove_traces(connect(), namespace, served)):
                    sys.stdout.write(f"removed {path}\n")
            case _:
                sys.stderr.write(USAGE)
                return 2
    except TidegateError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
