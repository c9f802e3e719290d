"""Counts and latencies of requests, in the text format of Prometheus."""

from __future__ import annotations

import os

from alsim.utils.optional import require

prometheus = require("prometheus_client", "server", "alsim.engine.server")

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets of latencies, seconds."""
DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable with the directory in which the processes of a server add up their numbers."""
METHODS = ("GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS")
"""Methods that are labels. Others share one label: a client could send any number of them."""
OTHER = "other"
"""Label of other methods, and of paths without a route."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Histogram of the seconds of requests, by method, route and status.

    The environment variable PROMETHEUS_MULTIPROC_DIR must be set before the first use of prometheus_client if several
    processes share the numbers: a scrape of any of them then has the sums over all.
    """

    def __init__(self) -> None:
        self._registry = prometheus.CollectorRegistry()
        self._seconds = prometheus.Histogram(
            "alsim_request_seconds",
            "Seconds from the first byte of a request to the end of its answer.",
            ("method", "route", "status"),
            buckets=BUCKETS,
            registry=self._registry,
        )

    def observe(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count a request.

        route   path of the route with names of parameters; None for a path without a route
        status  HTTP status of the answer
        """
        known = method if method in METHODS else OTHER
        self._seconds.labels(known, route or OTHER, str(status)).observe(seconds)

    def text(self) -> bytes:
        """Return the numbers of all processes of the server."""
        if DIRECTORY not in os.environ:
            return bytes(prometheus.generate_latest(self._registry))
        multiprocess = require("prometheus_client.multiprocess", "server", "alsim.engine.server")
        registry = prometheus.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        return bytes(prometheus.generate_latest(registry))


__all__ = ["CONTENT_TYPE", "DIRECTORY", "Metrics"]
