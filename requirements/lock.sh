# Resolve pyproject.toml anew into requirements/*.lock: exact versions and hashes, never an address.
# The largest set is resolved first and constrains the smaller ones, so one version of a package serves all.
set -eu
cd "$(dirname "$0")/.."
compile() { "$1/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate "${@:2}"; }
compile "$1" requirements/bootstrap.in -o requirements/bootstrap.lock
compile "$1" pyproject.toml --extra dev --extra torch -o requirements/torch.lock
# One lock per image, and one for a workstation.
compile "$1" pyproject.toml --extra inference --extra onnx -c requirements/torch.lock -o requirements/onnx.lock
for extra in loadtest demo dev; do
  compile "$1" pyproject.toml --extra "$extra" -c requirements/torch.lock -o "requirements/$extra.lock"
done
