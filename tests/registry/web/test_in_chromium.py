"""The review app in a real Chromium: what a person types, corrects and agrees to."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Iterator

import pytest
from algoshelf.registry.web import corrections

from tests.core.serving.page import browser as chromium
from tests.core.serving.page.browser import Browser, Tab
from tests.core.serving.page.conftest import HOSTILE
from tests.core.serving.page.test_in_chromium import AXE, PHONE

from .conftest import Chain, chain

pytestmark = pytest.mark.skipif(
    chromium.found() is None,
    reason="there is no Chromium here: apt-get install chromium; the handler is tested anyway",
)
VERDICT = "document.querySelector('.verdict .name')?.textContent"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium.found()
    assert path is not None
    browser = Browser(path)
    try:
        yield browser
    finally:
        browser.close()


@contextlib.contextmanager
def opened(
    browser: Browser, found: Chain, size: tuple[int, int] = (1200, 900), **media: str
) -> Iterator[Tab]:
    """The page, ready to be asked; nothing may have gone wrong in it by its end."""
    with browser.tab(found.url, *size, **media) as tab:
        tab.until("document.querySelector('#text')")
        yield tab
        assert tab.complaints() == []


def test_a_review_gets_its_verdict_which_is_corrected(browser: Browser, reviews: Chain) -> None:
    with opened(browser, reviews) as tab:
        tab.type("#text", "a warm, funny and deeply moving film")
        tab.until(f"{VERDICT} === 'positive'")
        tab.until("document.querySelector('.latency').textContent.endsWith(' ms')")
        before = len(list(corrections.read(reviews.kept)))
        tab.click(tab.button("Wrong?"))
        tab.click(tab.button("Send the correction"))
        tab.until("document.querySelectorAll('.doubt .complaint :is(p, li)').length === 2")
        assert len(list(corrections.read(reviews.kept))) == before
        tab.click(".choices input")
        tab.click("#consent")
        tab.click('[data-test="Send-the-correction"]')
        tab.until("document.querySelector('.thanks')")
        kept = [*corrections.read(reviews.kept)][before:][0]
        assert kept["id"] in tab.text(".thanks")
        assert (kept["label"], kept["answer"]["label"]) == ("negative", "positive")
        assert kept["text"] == "a warm, funny and deeply moving film"


def test_hostile_texts_and_names_of_classes_are_text(
    browser: Browser, hostile_model: Path, tmp_path: Path
) -> None:
    with chain(tmp_path, hostile_model) as found, opened(browser, found) as tab:
        title = tab.run("document.title")
        for text in ("good fine warm", "bad dull cold", "blue green red"):
            tab.run("document.querySelector('#text').value = ''")
            tab.type("#text", f"{text} <img src=x onerror=\"document.title='x'\"> \u202e🎉 שלום")
            tab.until(f"{json.dumps(list(HOSTILE))}.includes({VERDICT})")
            tab.click(tab.button("Wrong?"))
            tab.until("document.querySelectorAll('.choices bdi').length === 2")
            tab.until("document.querySelector('.answer.waiting') === null")
        tab.type("#other", HOSTILE[1])
        tab.click("#consent")
        tab.click(tab.button("Send the correction"))
        tab.until("document.querySelector('.thanks')")
        assert tab.run("document.title") == title
        assert tab.run("document.querySelectorAll('main img, main script').length") == 0
        [kept] = corrections.read(found.kept)
        assert kept["label"] == HOSTILE[1]
        assert kept["answer"]["label"] in HOSTILE


def test_empty_and_huge_texts(browser: Browser, reviews: Chain) -> None:
    with opened(browser, reviews) as tab:
        tab.click(tab.button("Ask"))
        tab.until("document.querySelector('.complaint')?.textContent === 'Type a text first.'")
        tab.run("document.querySelector('#text').value = 'a warm film '.repeat(5000)")
        tab.click('[data-test="Ask"]')
        tab.until("document.querySelector('.complaint')?.textContent.includes('60,000 characters')")
        tab.run("document.querySelector('#text').value = 'a warm film '.repeat(1600)")
        tab.click('[data-test="Ask"]')
        tab.until(f"{VERDICT} === 'positive'")


def test_an_endpoint_that_is_down_is_told_in_a_sentence(
    browser: Browser, reviews_model: Path, tmp_path: Path
) -> None:
    with chain(tmp_path, reviews_model) as found, opened(browser, found) as tab:
        [endpoint] = found.children()
        os.killpg(endpoint, signal.SIGKILL)
        tab.type("#text", "a warm film")
        tab.until("document.querySelector('.complaint')?.textContent.includes('does not answer')")
        assert tab.text(".latency") == ""
        assert tab.run("document.querySelector('.waiting')") is None
        assert found.end() == 0
        tab.click(tab.button("Try again"))
        tab.until("document.querySelector('.complaint')?.textContent.includes('the network')")


def test_a_password_is_asked_for(browser: Browser, reviews_model: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a-long-enough-password")
    with chain(tmp_path, reviews_model, "--password-file", secret) as found:
        assert found.ask("/ask", {"text": "a"})[0] == 401
        with browser.tab(found.url) as tab:
            tab.until("document.querySelector('#text')")
            tab.type("#text", "a warm film")
            tab.until("document.querySelector('#password')")
            tab.type("#password", "not-the-right-one")
            tab.click(tab.button("Continue"))
            tab.until("document.querySelector('.complaint')?.textContent.includes('not the pass')")
            tab.type("#password", secret.read_text())
            tab.click(tab.button("Continue"))
            tab.until(f"{VERDICT} === 'positive'")
        assert found.end(signal.SIGINT) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_axe_finds_no_fault(
    scheme: str, browser: Browser, reviews: Chain, tmp_path: Path
) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm install --prefix .venv-page axe-core")
    with opened(browser, reviews, PHONE, prefers_color_scheme=scheme) as tab:
        tab.call("Page.setBypassCSP", enabled=True)
        tab.type("#text", "a dull, stupid and lifeless mess")
        tab.until(f"{VERDICT} === 'negative'")
        tab.click(tab.button("Wrong?"))
        tab.until("document.querySelector('#consent')")
        assert tab.run("document.documentElement.scrollWidth") <= PHONE[0]
        tab.run(AXE.read_text())
        faults = tab.run(
            "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map("
            "each => each.id + ': ' + each.nodes.map(node => node.html).join(' ')))"
        )
        assert faults == []
        kept = os.environ.get("ALGOSHELF_SCREENSHOTS")
        if kept:
            tab.screenshot(tmp_path / "shot.png")
            shutil.copy(tmp_path / "shot.png", Path(kept) / f"review-{scheme}.png")


def test_all_is_reached_by_the_keyboard(browser: Browser, reviews: Chain) -> None:
    with opened(browser, reviews) as tab:
        tab.type("#text", "a warm film")
        tab.until(f"{VERDICT} === 'positive'")
        seen = []
        for _ in range(12):
            tab.press("Tab", 9)
            seen.append(tab.run("document.activeElement.textContent"))
            if seen[-1] == "Wrong?":
                break
        assert seen[-1] == "Wrong?"
        tab.press("Enter", 13, "\r")
        tab.until("document.activeElement?.type === 'radio'")
