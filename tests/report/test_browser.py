"""The page in a real browser, headless and without network: it renders, and no name runs."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.report.conftest import HOSTILE, HOSTILE_MAKE, HOSTILE_MODEL, Page

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt install chromium)"
)
SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars",
    "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
POLICY = '<meta http-equiv="Content-Security-Policy"'


def browse(tmp_path: Path, html: str, *words: str) -> tuple[str, str]:
    """Open a page; return what the browser printed and what its console said."""
    file = tmp_path / "page.html"
    file.write_text(html, "utf-8")
    command = [str(CHROMIUM), *SWITCHES, f"--user-data-dir={tmp_path / 'profile'}", *words]
    done = subprocess.run(
        [*command, file.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return done.stdout, console


def test_the_page_renders_whole_without_a_word_on_the_console(tmp_path: Path, page: Page) -> None:
    dom, console = browse(tmp_path, page.html, "--dump-dom")
    assert console == ""
    seen = Page(dom)
    ids = {attrs.get("id") for _, attrs in seen.tags}
    assert ids >= {"outcomes", "pictures", "formats", "timeline", "distributions", "codebook"}
    assert len(seen.attributes("img", "src")) == len(page.attributes("img", "src"))


def test_no_hostile_name_or_tag_runs_even_without_the_policy(tmp_path: Path, page: Page) -> None:
    assert POLICY in page.html
    unguarded = page.html.replace(POLICY, '<meta name="nothing"')
    dom, _ = browse(tmp_path, unguarded, "--dump-dom")
    assert "<title>&lt;i&gt;my corpus: imgbatch report</title>" in dom
    shown = Page(dom).text + " ".join(Page(dom).attributes("img", "alt"))
    assert all(text in shown for text in (*HOSTILE, HOSTILE_MAKE, HOSTILE_MODEL))


@pytest.mark.slow
def test_the_policy_stops_what_escaping_would_miss(tmp_path: Path, page: Page) -> None:
    # The same attack as markup: it runs where the policy is taken out, so this test can fail.
    attack = f"<img src=x onerror=\"document.title='PWNED'\"><script>{'document.title=1'}</script>"
    broken = page.html.replace("<main>", f"<main>{attack}")
    dom, console = browse(tmp_path, broken, "--dump-dom")
    assert "<title>&lt;i&gt;my corpus: imgbatch report</title>" in dom
    assert "Content Security Policy" in console
    dom, _ = browse(tmp_path, broken.replace(POLICY, '<meta name="nothing"'), "--dump-dom")
    assert "<title>&lt;i&gt;my corpus" not in dom


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_a_screenshot_shows_the_pictures_and_nothing_is_cut_at_the_side(
    tmp_path: Path, page: Page, width: int
) -> None:
    shot = tmp_path / "shot.png"
    browse(tmp_path, page.html, f"--screenshot={shot}", f"--window-size={width},2600")
    with Image.open(shot) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape == (2600, width, 3)
    # Photographs bring thousands of colors; a page of text and bars has hundreds.
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 5000
    # The right margin is paper all the way down, but for the line below the navigation.
    margin = pixels[:, -8:]
    paper = pixels[5, 5]
    assert (margin == paper).all(axis=(1, 2)).mean() > 0.95
