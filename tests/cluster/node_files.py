"""What the parts of the node read: settings of containerd, of pods' network, of the kubelet and of the audit log."""

from __future__ import annotations

from places import CONTAINERD, RUN

PKI = RUN / "pki"
SOCKET = CONTAINERD / "containerd.sock"
CONTAINERD_TOML = f"""version = 2
root = "{RUN}/containerd"
state = "{CONTAINERD}"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "kind.local/pause:1"
  # CAP_SYS_RESOURCE may be missing, and without it a score cannot be lowered.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{RUN}/cni"
"""
# Who of the operator's namespace asked for what, and what came of it.
AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts:tidegate"]}, {"level": "None"}],
}
BRIDGE = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.244.0.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
KUBELET = f"""apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {PKI}/ca.crt}}}}
authorization: {{mode: Webhook}}
cgroupDriver: cgroupfs
failSwapOn: false
failCgroupV1: false
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://{SOCKET}
tlsCertFile: {PKI}/kubelet.crt
tlsPrivateKeyFile: {PKI}/kubelet.key
resolvConf: {RUN}/resolv.conf
evictionHard: {{}}
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
featureGates: {{KubeletInUserNamespace: true}}
podLogsDir: {RUN}/pod-logs
"""
