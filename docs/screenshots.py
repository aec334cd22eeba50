"""Take the README's pictures of the site as it is: `make screenshots`."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, sync_playwright

FOLDER = Path(__file__).parent
PORT = 8002
SHOTS = [
    ("home", "/", 1280, "light"),
    ("papers", "/daily/papers?_tag=distillation", 1280, "light"),
    ("paper", "/daily/papers/rlhf-workflow-from-reward-modeling-to-online-rlhf", 1280, "dark"),
    ("search", "/daily/search?q=mixture+of+experts", 390, "dark"),
]
"""File name, page, width in pixels, colour scheme."""


@contextmanager
def serve() -> Iterator[str]:
    """The address of the site, served for as long as the pictures take."""
    address = f"http://127.0.0.1:{PORT}"
    project = FOLDER.parent
    command = [sys.executable, "-m", "datasette", ".", "-i", "db/daily.db", "-p", str(PORT)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=project, **quiet) as server:
        while server.poll() is None:
            try:
                httpx.get(address)
                break
            except httpx.TransportError:
                time.sleep(0.2)
        yield address
        server.terminate()


def take_screenshot(browser: Browser, url: str, file: Path, width: int, scheme: str) -> None:
    """One page as a visitor sees it first, without scrolling."""
    page = browser.new_page(
        viewport={"width": width, "height": 844 if width < 600 else 860},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page.goto(url, wait_until="networkidle")
    page.screenshot(path=file)
    page.close()


def main() -> None:
    """Take all of SHOTS."""
    with serve() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for name, path, width, scheme in SHOTS:
            take_screenshot(browser, address + path, FOLDER / f"{name}.png", width, scheme)
            print(f"docs/{name}.png", file=sys.stderr)
        browser.close()


if __name__ == "__main__":
    main()
