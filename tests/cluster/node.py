"""One Kubernetes node in a network namespace of its own: started part by part, ended by process id, nothing left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from certificates import NODE_IP, make_certificates
from node_files import AUDIT, BRIDGE, CONTAINERD_TOML, KUBELET, PKI, SOCKET
from places import BIN, CONTAINERD, IMAGES, KUBECONFIG, NETWORK, RUN, STORE, ClusterError, inside, kubectl, run

LOGS = RUN / "logs"
RECORD = RUN / "processes.json"
POD_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
PATIENCE_S = 120.0


def start(say) -> None:
    """Start every part and return when the node is ready and holds the images."""
    for folder in (LOGS, RUN / "cni", CONTAINERD):
        folder.mkdir(parents=True, exist_ok=True)
    say("network: a namespace with the node's address, from which nothing leads outside")
    _make_network()
    make_certificates(PKI)
    say("node: containerd, etcd, API server, controllers, kubelet, proxy")
    _start_runtime()
    _start_control_plane()
    _start_kubelet()
    say("images: importing")
    for archive in sorted(IMAGES.glob("*.tar")):
        import_image(archive)
    kubectl("wait", "--for=condition=Ready", "node/node", "--timeout=60s")


def is_running() -> bool:
    """Whether any part that was started is still alive."""
    processes = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    return any(_born(pid) == born for pid, born in processes.values())


def import_image(archive: Path) -> None:
    """Give the node an image."""
    run("ctr", "-a", SOCKET, "-n", "k8s.io", "images", "import", archive)


def stop() -> None:
    """End what was started, by process id, and remove its namespaces, mounts and files; harmless if nothing runs."""
    processes = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    runtime = processes.pop("containerd", None)
    for name in reversed(list(processes)):
        _end(*processes[name])
    _end_containers()
    if runtime is not None:
        _end(*runtime)
    for pid in _pids_of(f"containerd-shim.*{CONTAINERD}"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _remove_networks()
    for mount in _mounts_below(RUN, CONTAINERD, STORE):  # buildah leaves its own
        subprocess.run(["umount", "-l", mount], capture_output=True, check=False)
    for folder in (RUN, CONTAINERD):
        shutil.rmtree(folder, ignore_errors=True)
    _remove_cgroups()


def _make_network() -> None:
    run("ip", "netns", "add", NETWORK)
    inside("ip", "link", "set", "lo", "up")
    # The kernel may have no dummy device, so the address sits on one end of a pair.
    inside("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "uplink-far")
    inside("ip", "link", "set", "uplink-far", "up")
    inside("ip", "addr", "add", f"{NODE_IP}/24", "dev", "uplink")
    inside("ip", "link", "set", "uplink", "up")
    inside("ip", "route", "add", "default", "via", "10.250.0.254", "dev", "uplink")
    inside("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.route_localnet=1")


def _start_runtime() -> None:
    (RUN / "containerd.toml").write_text(CONTAINERD_TOML)
    (RUN / "cni" / "10-bridge.conflist").write_text(json.dumps(BRIDGE))
    _start("containerd", "containerd", "-c", RUN / "containerd.toml")
    _wait_for("containerd", lambda: run("ctr", "-a", SOCKET, "version"))


def _start_control_plane() -> None:
    (RUN / "audit.yaml").write_text(json.dumps(AUDIT))
    etcd = "http://127.0.0.1:2379"
    addresses = (f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}")
    data = ("--data-dir", RUN / "etcd", "--unsafe-no-fsync")
    _start("etcd", "etcd", *data, *addresses, "--listen-peer-urls=http://127.0.0.1:2380")
    _start(
        "apiserver",
        BIN / "kube-apiserver",
        f"--etcd-servers={etcd}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--advertise-address={NODE_IP}",
        f"--client-ca-file={PKI}/ca.crt",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={PKI}/sa.pub",
        f"--service-account-signing-key-file={PKI}/sa.key",
        f"--kubelet-client-certificate={PKI}/admin.crt",
        f"--kubelet-client-key={PKI}/admin.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        f"--requestheader-client-ca-file={PKI}/ca.crt",
        "--requestheader-allowed-names=front-proxy",
        f"--proxy-client-cert-file={PKI}/front-proxy.crt",
        f"--proxy-client-key-file={PKI}/front-proxy.key",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--audit-policy-file={RUN}/audit.yaml",
        f"--audit-log-path={RUN}/audit.log",
    )
    _wait_for("apiserver", lambda: kubectl("get", "--raw", "/readyz"))
    _start(
        "controller-manager",
        BIN / "kube-controller-manager",
        f"--kubeconfig={KUBECONFIG}",
        f"--service-account-private-key-file={PKI}/sa.key",
        f"--root-ca-file={PKI}/ca.crt",
        "--use-service-account-credentials",
        f"--cluster-cidr={POD_CIDR}",
        "--leader-elect=false",
    )
    _start("scheduler", BIN / "kube-scheduler", f"--kubeconfig={KUBECONFIG}", "--leader-elect=false")


def _start_kubelet() -> None:
    (RUN / "kubelet.yaml").write_text(KUBELET)
    (RUN / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    _start(
        "kubelet",
        BIN / "kubelet",
        f"--config={RUN}/kubelet.yaml",
        f"--kubeconfig={RUN}/kubelet.kubeconfig",
        f"--root-dir={RUN}/kubelet",
        "--hostname-override=node",
        f"--node-ip={NODE_IP}",
        f"--cert-dir={RUN}/kubelet-certs",
    )
    _start(
        "proxy",
        BIN / "kube-proxy",
        f"--kubeconfig={KUBECONFIG}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={POD_CIDR}",
        "--hostname-override=node",
        "--conntrack-max-per-core=0",
        f"--nodeport-addresses=127.0.0.0/8,{NODE_IP}/32",
    )


def _start(name: str, *command: str | Path) -> None:
    """Start a part inside the namespace; nsenter becomes the program, so its id is the program's."""
    words = ["nsenter", f"--net=/run/netns/{NETWORK}", *map(str, command)]
    with (LOGS / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=RUN
        )
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record[name] = (process.pid, _born(process.pid))
    RECORD.write_text(json.dumps(record))


def _wait_for(name: str, attempt) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            attempt()
        except ClusterError as error:
            pid, born = json.loads(RECORD.read_text())[name]
            if _born(pid) != born or time.monotonic() > until_s:
                words = (LOGS / f"{name}.log").read_text(errors="replace").strip().splitlines()[-8:]
                raise ClusterError(
                    f"{name} does not come up ({error}); its last words:\n  " + "\n  ".join(words)
                ) from error
            time.sleep(0.25)
        else:
            return


def _end(pid: int, born: int) -> None:
    """End a process if it is still the one that was started."""
    for each, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        until_s = time.monotonic() + patience_s
        with contextlib.suppress(ProcessLookupError):
            if _born(pid) == born:
                os.kill(pid, each)
        while _born(pid) == born:
            if time.monotonic() > until_s:
                break
            time.sleep(0.05)
        else:
            return


def _born(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; -1 if it is gone, or only waits to be reaped."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if after_name[0] == "Z" else int(after_name[19])


def _end_containers() -> None:
    client = ["ctr", "-a", str(SOCKET), "-n", "k8s.io"]

    def tasks() -> list[str]:
        listed = subprocess.run([*client, "task", "ls", "-q"], capture_output=True, text=True, check=False, timeout=30)
        return listed.stdout.split()

    if not SOCKET.exists():
        return
    for task in tasks():
        subprocess.run([*client, "task", "kill", "-s", "9", task], capture_output=True, check=False, timeout=30)
    until_s = time.monotonic() + 10
    while (left := tasks()) and time.monotonic() < until_s:
        for task in left:
            subprocess.run([*client, "task", "rm", "-f", task], capture_output=True, check=False, timeout=30)


def _pids_of(pattern: str) -> list[int]:
    listed = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split() if int(pid) != os.getpid()]


def _remove_networks() -> None:
    """Remove the node's namespace, and those that its pods had: their interfaces end with it."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    for name in re.findall(rf"^(cni-[0-9a-f-]{{36}}|{NETWORK})\b", listed, flags=re.MULTILINE):
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _remove_cgroups() -> None:
    """Remove the empty groups that kubelet leaves, the innermost first; a group in use stays."""
    for top in [*Path("/sys/fs/cgroup").glob("*/kubepods"), Path("/sys/fs/cgroup/kubepods")]:
        # Groups vanish while we look; `os.walk` passes over what is gone.
        for group, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(group).rmdir()


def _mounts_below(*folders: Path) -> list[str]:
    """Return mount points inside these folders, the innermost first."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((point for point in points if point.startswith(tuple(f"{each}/" for each in folders))), reverse=True)
