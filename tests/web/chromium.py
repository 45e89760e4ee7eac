"""The machine's Chromium."""

from __future__ import annotations

import os
import shutil

from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def on_path() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def launched(playwright: Playwright, path: str) -> Browser:
    # As root it has no sandbox; and it is to visit this machine alone, whatever proxy is set.
    flags = ["--no-proxy-server", *["--no-sandbox"] * (os.geteuid() == 0)]
    return playwright.chromium.launch(executable_path=path, args=flags)
