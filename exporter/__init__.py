"""Prometheus exporter for the video-generation tasks of vendors' asynchronous APIs."""

__version__ = "0.1.0"
