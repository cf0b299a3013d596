"""A real browser for tests: Chromium without a window, driven by selenium, with a profile of its own."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.servers import missing

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--force-color-profile=srgb",
)


@contextmanager
def chromium(profile: Path, width: int = 1280, height: int = 720) -> Iterator[webdriver.Chrome]:
    """A browser that has seen nothing yet; `profile` is an empty folder."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        missing("chromium and chromedriver are not installed; Debian's packages chromium and chromium-driver have them")
    for name in ("NO_PROXY", "no_proxy"):  # selenium speaks to its driver by HTTP
        os.environ[name] = "127.0.0.1,localhost"
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        browser.set_page_load_timeout(60)
        yield browser
    finally:
        browser.quit()
