# Resolve pyproject.toml anew into requirements/*.lock: exact versions and hashes, never an address.
# All extras are resolved together first; that constrains each set, so one version of a package serves all.
set -eu
cd "$(dirname "$0")/.."
compile() { "$1/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate "${@:2}"; }
together=$(mktemp)
trap 'rm -f "$together"' EXIT
compile "$1" pyproject.toml --all-extras -o "$together"
compile "$1" requirements/bootstrap.in -o requirements/bootstrap.lock
# One lock per image, one for a workstation, and what tests need beyond it.
compile "$1" pyproject.toml --extra inference --extra onnx -c "$together" -o requirements/onnx.lock
compile "$1" pyproject.toml --extra dev --extra torch -c "$together" -o requirements/torch.lock
for extra in operator loadtest demo dev e2e; do
  compile "$1" pyproject.toml --extra "$extra" -c "$together" -o "requirements/$extra.lock"
done
