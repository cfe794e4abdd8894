# Longer measurements on the test cluster, called by `make soak` inside the node's network; each prints what it found.
bin=$1
helm="${TIDEGATE_CLUSTER_HOME:-$HOME/.cache/tidegate/cluster}/bin/helm"
"$bin/python" tests/e2e/bench_from_zero.py --repeats 5
"$helm" upgrade --install tidegate charts/tidegate -n tidegate --create-namespace -f charts/tidegate/ci/operator-values.yaml --wait
"$bin/python" tests/e2e/bench_at_rest.py
"$helm" uninstall tidegate -n tidegate --wait
"$bin/python" tests/e2e/bench_bursts.py --repeats 5 --window 60s
