import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from inference_service.counters import Counters, Histogram
from inference_service.hot_settings import HotSettings
from inference_service.metrics import render_metrics

HOT = HotSettings(
    generation=3, max_batch_size=4, batch_tokens=256, max_queue_delay_s=0.0, max_queue_length=9, workers=1
)


def samples(counters):
    text = render_metrics(counters, HOT, cpu_s=1.5).decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counts_appear_under_their_names():
    counters = Counters()
    counters.accepted = 5
    counters.count_rejected("queue-full", 2)
    counters.cold_start_s["model"] = 0.25
    found = samples(counters)
    assert found["tidegate_requests_total", "accepted"] == 5
    assert found["tidegate_rejected_total", "queue-full"] == 2
    assert found["tidegate_cold_start_seconds", "model"] == 0.25
    assert found["tidegate_hot_setting", "max_batch_size"] == 4
    assert found[("tidegate_hot_settings_generation",)] == 3


def test_buckets_are_cumulative_and_end_with_the_count():
    counters = Counters()
    for duration_s in (0.001, 0.2, 100.0):
        counters.count_call(200, duration_s)
    found = samples(counters)
    assert found["tidegate_request_duration_seconds_bucket", "0.001", "200"] == 1
    assert found["tidegate_request_duration_seconds_bucket", "0.25", "200"] == 2
    assert found["tidegate_request_duration_seconds_bucket", "+Inf", "200"] == 3
    assert found["tidegate_request_duration_seconds_count", "200"] == 3
    assert found["tidegate_request_duration_seconds_sum", "200"] == pytest.approx(100.201)


def test_a_value_on_an_edge_belongs_to_the_bucket_below():
    histogram = Histogram((1.0, 2.0))
    for value in (1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.counts == [1, 2, 1]


def test_the_server_process_loads_no_array_library_and_no_metrics_library():
    code = (
        "import sys, inference_service.server, inference_service.__main__;"
        "print(*sorted({'numpy', 'onnxruntime', 'prometheus_client', 'onnx', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == ""
