"""helm test: one prediction through the cluster-local address, from zero pods if there are none. Argument: its URL."""

import json
import sys
import time
import urllib.request

PATIENCE_S = 120.0
TEXTS = ["a warm and wonderful film", "a dreadful, boring mess"]


def ask(url: str) -> list[dict]:
    """Return the predictions of the two texts."""
    request = urllib.request.Request(  # noqa: S310  the chart gives it
        url, json.dumps({"instances": TEXTS}).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.load(answer)["predictions"]


until_s = time.monotonic() + PATIENCE_S
while True:
    try:
        predictions = ask(sys.argv[1])
        break
    except OSError as error:
        if time.monotonic() > until_s:
            sys.exit(f"{sys.argv[1]}: no answer within {PATIENCE_S:.0f} s ({error})")
        time.sleep(1)
if len(predictions) != len(TEXTS):
    sys.exit(f"{len(TEXTS)} texts were sent, {len(predictions)} predictions came back")
for text, prediction in zip(TEXTS, predictions, strict=True):
    print(f"{text}: {prediction}")  # noqa: T201  the outcome of the test
