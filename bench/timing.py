"""A stopwatch for statements, and how distributions of times are printed."""

import statistics
import time


class Stopwatch:
    """Runs from its making: seconds to the first row, and to the end."""

    def __init__(self):
        self.begun, self.first, self.seconds = time.perf_counter(), None, None

    def row(self):
        self.first = self.first or time.perf_counter() - self.begun

    def stop(self):
        self.seconds = time.perf_counter() - self.begun


def spread(values, digits=2):
    """median (least to most)"""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def line(name, took):
    """Milliseconds, as percentiles."""
    took = sorted(took)
    at = lambda q: took[min(len(took) - 1, int(q * len(took)))]
    print(f"{name:8} n={len(took):6}  p50 {at(.5):8.2f}  p90 {at(.9):8.2f}  p99 {at(.99):8.2f}  max {took[-1]:8.2f} ms", flush=True)
