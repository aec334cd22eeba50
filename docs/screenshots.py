"""Take the README's screenshots of a running site: `make screenshots`.

python docs/screenshots.py [ADDRESS]
"""

import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

FOLDER = Path(__file__).parent
SHOTS = [
    ("home", "/", 1280, "light"),
    ("papers", "/daily/papers?_tag=distillation", 1280, "light"),
    ("paper", "/daily/papers/rlhf-workflow-from-reward-modeling-to-online-rlhf", 1280, "dark"),
    ("search", "/daily/search?q=mixture+of+experts", 390, "dark"),
]  # fmt: skip
"""File name, page, width in pixels, colour scheme."""


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
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8001"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for name, path, width, scheme in SHOTS:
            take_screenshot(browser, address + path, FOLDER / f"{name}.png", width, scheme)
            print(f"docs/{name}.png", file=sys.stderr)
        browser.close()


if __name__ == "__main__":
    main()
