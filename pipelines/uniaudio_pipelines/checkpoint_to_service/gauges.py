"""What a service is doing, as metrics of Ray: at each node's metrics port as text that Prometheus reads.

    ray_uniaudio_service_requests_total{task="asr",outcome="answered",…} 41.0
    ray_uniaudio_service_request_seconds_bucket{task="asr",le="0.5",…} 17.0
    ray_uniaudio_service_audio_seconds_total{task="tts",direction="written",…} 212.4
    ray_uniaudio_service_writing{…} 5.0

Ray Serve's own, such as `ray_serve_deployment_processing_latency_ms`, stand beside them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ray.util.metrics import Counter, Gauge, Histogram

BOUNDS_S = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250]


class Gauges:
    """The metrics of one replica."""

    def __init__(self) -> None:
        prefix = "uniaudio_service_"
        self._requests = Counter(prefix + "requests_total", "Requests that ended.", ("task", "outcome"))
        self._seconds = Histogram(prefix + "request_seconds", "Seconds from request to answer.", BOUNDS_S, ("task",))
        self._audio = Counter(prefix + "audio_seconds_total", "Seconds of audio.", ("task", "direction"))
        self._writing = Gauge(prefix + "writing", "Answers that are being written.", ())
        self._waiting = Gauge(prefix + "waiting", "Requests without a row of the batch.", ())

    @contextmanager
    def request(self, task: str) -> Iterator[None]:
        """Counts what is within as one request."""
        began, outcome = time.monotonic(), "failed"
        try:
            yield
            outcome = "answered"
        except GeneratorExit:
            outcome = "cancelled"
            raise
        except BaseException as error:
            outcome = "cancelled" if type(error).__name__ == "CancelledError" else "failed"
            raise
        finally:
            self._requests.inc(1, {"task": task, "outcome": outcome})
            if outcome == "answered":
                self._seconds.observe(time.monotonic() - began, {"task": task})

    def audio(self, task: str, *, given_s: float, written_s: float) -> None:
        for direction, seconds in (("given", given_s), ("written", written_s)):
            if seconds > 0:
                self._audio.inc(seconds, {"task": task, "direction": direction})

    def load(self, *, writing: int, waiting: int) -> None:
        self._writing.set(writing)
        self._waiting.set(waiting)
