"""Certificates and kubeconfig files of one cluster's life, made with openssl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from places import KUBECONFIG, run

if TYPE_CHECKING:
    from pathlib import Path

NODE_IP = "10.250.0.1"
SERVICE_IP = "10.96.0.1"
API_SERVER = "https://127.0.0.1:6443"
_API_NAMES = ",".join(
    [
        *(f"IP:{ip}" for ip in ("127.0.0.1", NODE_IP, SERVICE_IP)),
        *(f"DNS:{name}" for name in ("localhost", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")),
    ]
)
SUBJECTS = {
    "apiserver": ("/CN=kube-apiserver", _API_NAMES),
    "admin": ("/O=system:masters/CN=admin", "DNS:admin"),
    "kubelet": ("/O=system:nodes/CN=system:node:node", f"IP:{NODE_IP},DNS:node"),
    "front-proxy": ("/CN=front-proxy", "DNS:front-proxy"),
}


def make_certificates(folder: Path) -> None:
    """Write a CA, a certificate for each part, the service accounts' keys, and the kubeconfig files."""
    folder.mkdir(parents=True)
    make_authority(folder, "ca", "kubernetes-ca")
    for name, (subject, names) in SUBJECTS.items():
        sign(folder, name, subject=subject, names=names)
    run("openssl", "genrsa", "-out", folder / "sa.key", "2048")
    run("openssl", "rsa", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub")
    for user in ("admin", "kubelet"):
        (KUBECONFIG.parent / f"{user}.kubeconfig").write_text(_kubeconfig(folder, user))


def make_authority(folder: Path, name: str, common_name: str) -> None:
    """Write a self-signed authority: NAME.key and NAME.crt."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365")
    run(*new, "-keyout", key, "-out", certificate, "-subj", f"/CN={common_name}")


def sign(folder: Path, name: str, *, subject: str, names: str, authority: str = "ca") -> None:
    """Write NAME.key and NAME.crt, signed by an authority of the same folder."""
    key, request, certificate = (folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", subject)
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
    signer = ("-CA", folder / f"{authority}.crt", "-CAkey", folder / f"{authority}.key", "-CAcreateserial")
    run("openssl", "x509", "-req", "-in", request, *signer, "-out", certificate, "-days", "365", "-extfile", extensions)


def _kubeconfig(folder: Path, user: str) -> str:
    return f"""apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "{API_SERVER}", certificate-authority: {folder / "ca.crt"}}}}}]
users: [{{name: u, user: {{client-certificate: {folder / user}.crt, client-key: {folder / user}.key}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
current-context: c
"""
