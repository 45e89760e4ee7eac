"""Scrapes what Prometheus and others ask for, in turns, until it is stopped.

    python -m benchmarks.scraper URL SECONDS

It writes a line after each scrape and rests for so many seconds.
"""

from __future__ import annotations

import sys
import time
import urllib.request
from itertools import cycle, product

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def main(url: str, rest: float) -> None:
    for accept, encoding in cycle(product((OPENMETRICS, "text/plain"), ("gzip", "identity"))):
        headers = {"Accept": accept, "Accept-Encoding": encoding}
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:  # noqa: S310
            answer.read()
        print("scraped", flush=True)
        time.sleep(rest)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
