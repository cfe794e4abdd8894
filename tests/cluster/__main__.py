"""`python tests/cluster up | down | build | images`: a real Kubernetes node with Knative and KServe, without Docker.

docs/test-cluster.md tells how it is made. Clients enter it with `nsenter --net=/run/netns/tidegate-node`.
"""

from __future__ import annotations

import argparse
import sys
import time

import knative
import kserve
import node
import own_images
import programs
from places import HERE, KUBECONFIG, NETWORK, RUN, ClusterError, check_machine, kubectl


def main() -> int:
    """Run one command; what fails is told in words, and what was begun is ended."""
    parser = argparse.ArgumentParser(prog="python tests/cluster", description=__doc__)
    parser.add_argument("command", choices=("build", "up", "images", "down"))
    command = parser.parse_args().command
    began_s = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began_s:5.0f} s  {line}\n")

    try:
        check_machine()
        {"build": programs.build, "up": up, "images": own_images.build_own, "down": down}[command](say)
    except ClusterError as error:
        sys.stderr.write(f"cluster: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("cluster: interrupted; what was begun has ended\n")
        return 130
    return 0


def up(say) -> None:
    """Build what is missing and start the cluster; refuse if one runs.

    Raises:
        ClusterError: a step failed, or a cluster runs already.
    """
    if node.is_running():
        raise ClusterError("a cluster runs already; end it with: make cluster-down")
    if RUN.exists():
        say("an earlier cluster ended badly: removing what it left")
        node.stop()
    programs.build(say)
    try:
        node.start(say)
        say("DNS, Knative Serving and Kourier")
        kubectl("apply", "-f", str(HERE / "manifests" / "coredns.yaml"))
        knative.install()
        say("KServe")
        kserve.install()
    except BaseException:
        node.stop()
        raise
    say(f"ready: KUBECONFIG={KUBECONFIG} nsenter --net=/run/netns/{NETWORK} kubectl get ksvc")


def down(say) -> None:
    """End the cluster and remove all that it made but programs and images."""
    node.stop()
    say("the cluster has ended")


if __name__ == "__main__":
    sys.exit(main())
