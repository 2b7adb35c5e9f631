"""The page in a real Chromium: what a person types, draws, drops and pastes, and what is shown."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from algoshelf.core import codecs
from PIL import Image

from tests.conftest import ROOT
from tests.core.serving.conftest import PATIENCE, Server, serving

from . import browser as chromium
from .browser import Browser, Tab
from .conftest import HOSTILE, Plugin

pytestmark = pytest.mark.skipif(
    chromium.found() is None,
    reason="there is no Chromium here: apt-get install chromium; what is sent is tested anyway",
)
# As `npm install --prefix .venv-page axe-core` puts it, which .ci/run does.
AXE = ROOT / ".venv-page" / "node_modules" / "axe-core" / "axe.min.js"
TOKEN = "0123456789abcdef0123"
THREE = [
    (0.3, 0.25), (0.37, 0.2), (0.45, 0.17), (0.54, 0.18), (0.6, 0.22), (0.64, 0.29), (0.63, 0.36),
    (0.57, 0.43), (0.48, 0.47), (0.57, 0.5), (0.65, 0.56), (0.68, 0.65), (0.65, 0.75),
    (0.56, 0.82), (0.46, 0.83), (0.37, 0.8), (0.3, 0.73),
]  # fmt: skip
ROWS = "5.1\t3.5\t1.4\t0.2\n6.2\t2.9\t4.3\t1.3\n7.7\t3.0\t6.1\t2.3\n"
PHONE = (390, 844)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium.found()
    assert path is not None
    browser = Browser(path)
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture(scope="module")
def server(
    reviews_model: Path,
    model: Path,
    pictures_model: Path,
    iris_model: Path,
    hostile_model: Path,
    forecasting_model: Path,
) -> Iterator[Server]:
    models = {
        "reviews": reviews_model, "digits": model, "pictures": pictures_model, "iris": iris_model,
        "hostile": hostile_model, "series": forecasting_model,
    }  # fmt: skip
    named = [f"{name}={folder}" for name, folder in models.items()]
    with serving(*named, "--workers", 1, "--multi-model", "--max-payload", "1MB") as server:
        yield server


@contextlib.contextmanager
def opened(
    browser: Browser,
    server: Server,
    name: str = "",
    size: tuple[int, int] = (1200, 900),
    **media: str,
) -> Iterator[Tab]:
    """The page of a model, ready to be asked; nothing may have gone wrong in it by its end."""
    url = f"http://127.0.0.1:{server.port}/#{name}"
    with browser.tab(url, *size, **media) as tab:
        tab.until("document.querySelector('#ask .primary')")
        yield tab
        assert tab.complaints() == []


@contextlib.contextmanager
def alone(browser: Browser, *arguments: object, **environment: str) -> Iterator[tuple[Server, Tab]]:
    """A server of its own, and its page."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(*arguments, "--workers", 1, **environment))
        yield server, stack.enter_context(browser.tab(f"http://127.0.0.1:{server.port}/"))


def _verdict(tab: Tab) -> str:
    tab.until("document.querySelector('.verdict .name, .complaint')")
    return tab.text(".verdict .name")


def test_a_review_that_is_typed_gets_its_verdict(browser: Browser, server: Server) -> None:
    with opened(browser, server, "reviews") as tab:
        tab.type("#text", "a warm, funny and deeply moving film")
        assert _verdict(tab) == "positive"
        assert "positive" in tab.text(".spoken")
        assert tab.run("document.querySelector('.spoken').getAttribute('aria-live')") == "polite"
        assert tab.text(".latency").endswith(" ms")
        tab.run("document.querySelector('#text').value = ''")
        tab.type("#text", "a dull, stupid and lifeless mess")
        tab.until("document.querySelector('.verdict .name')?.textContent === 'negative'")
        shares = tab.run(
            "[...document.querySelectorAll('.bars .part')].map(e => parseFloat(e.textContent))"
        )
        assert len(shares) == 2
        assert sum(shares) == pytest.approx(100, abs=0.2)
        tab.click(tab.button("Clear"))
        tab.until("document.querySelector('.shell').hidden")
        assert tab.text(".answer") == "What the model answers is shown here."


def test_a_three_that_is_drawn_is_a_three(browser: Browser, server: Server) -> None:
    with opened(browser, server, "digits") as tab:
        tab.stroke("#board", THREE)
        assert _verdict(tab) == "3"
        assert tab.text(".shell pre").endswith("--data-binary @digit.png")
        assert tab.run("document.querySelector('.shell a.button').download") == "digit.png"
        tab.click(tab.button("Use the example"))
        tab.until("document.querySelector('.shell pre').textContent.includes('application/json')")
        tab.until("document.querySelector('.verdict')")


def test_a_three_is_drawn_by_a_finger_and_the_page_does_not_scroll(
    browser: Browser, server: Server
) -> None:
    with opened(browser, server, "digits", PHONE) as tab:
        tab.box("#board")
        before = tab.run("scrollY")
        tab.touch("#board", THREE)
        assert _verdict(tab) == "3"
        assert tab.run("scrollY") == before


def test_a_digit_is_drawn_by_the_keyboard(browser: Browser, server: Server) -> None:
    with opened(browser, server, "digits") as tab:
        tab.run("document.querySelector('#board').focus()")
        tab.press(" ", 32, " ")
        for _ in range(14):
            tab.press("ArrowDown", 40)
        tab.until("document.querySelector('.verdict .name')?.textContent === '1'")
        tab.press("Delete", 46)
        tab.until("!document.querySelector('.verdict')")


def test_a_jpeg_that_is_dropped_gets_its_class(
    browser: Browser, server: Server, photographs: list[tuple[int, Image.Image]], tmp_path: Path
) -> None:
    path = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    photographs[0][1].save(path, "JPEG", quality=95)
    answer = server.ask(path.read_bytes(), codecs.JPEG, "/models/pictures/invoke").json
    with opened(browser, server, "pictures") as tab:
        tab.drop(".drop", path)
        assert _verdict(tab) == answer["predictions"][0]["label"]
        assert path.name in tab.text("#ask")
        assert f"@{path.name}" in shlex.split(tab.text(".shell pre"))
        (tmp_path / "none.jpg").write_bytes(b"no picture at all")
        tab.drop(".drop", tmp_path / "none.jpg")
        tab.until("document.querySelector('.complaint')")


def test_what_the_server_does_not_take_is_converted(
    browser: Browser, server: Server, tmp_path: Path
) -> None:
    noise = Image.effect_noise((1400, 1400), 120).convert("RGB")
    noise.save(tmp_path / "large.png")  # more than --max-payload
    assert (tmp_path / "large.png").stat().st_size > 2**20
    noise.resize((40, 40)).save(tmp_path / "small.bmp")
    with opened(browser, server, "pictures") as tab:
        for name in ("large.png", "small.bmp"):
            tab.click(tab.button("Clear"))
            tab.drop(".drop", tmp_path / name)
            assert _verdict(tab) != ""
            assert "converted by this page" in tab.text("#ask")
        (tmp_path / "text.txt").write_text("a text")
        tab.drop(".drop", tmp_path / "text.txt")
        tab.until("document.querySelector('.complaint')")
        assert "text.txt is no picture" in tab.text(".complaint")


def test_the_camera_takes_a_picture(browser: Browser, server: Server) -> None:
    with opened(browser, server, "pictures") as tab:  # Chromium's pretended camera
        tab.click(tab.button("Camera"))
        tab.until("document.querySelector('video')?.videoWidth > 0")
        tab.click(tab.button("Take the picture"))
        assert _verdict(tab) != ""
        assert "camera.jpeg" in tab.text("#ask")
        assert tab.run("document.querySelector('video')") is None


def test_rows_that_are_pasted_get_their_clusters(browser: Browser, server: Server) -> None:
    body = ROWS.replace("\t", ",").encode()
    answer = server.ask(body, codecs.CSV, "/models/iris/invoke").json["predictions"]
    with opened(browser, server, "iris") as tab:
        tab.paste("td input", ROWS)
        tab.until("document.querySelectorAll('.answers tbody tr').length === 3")
        clusters = tab.run(
            "[...document.querySelectorAll('.answers tbody td:nth-child(2)')].map(e => e.innerText)"
        )
        assert clusters == [f"Cluster {each['closest_cluster']:.0f}" for each in answer]
        tab.click(tab.button("Clear"))
        headed = "petal_width,petal_length,sepal_width,sepal_length\n0.2,1.4,3.5,5.1\n"
        tab.paste("td input", headed)
        tab.until("document.querySelector('.verdict')")
        assert "matched by their headings" in tab.text("#ask")
        assert tab.text(".verdict .name") == clusters[0]
        assert shlex.split(tab.text(".shell pre"))[-1] == "5.1,3.5,1.4,0.2"


def test_a_series_that_is_typed_or_pasted_is_drawn_with_its_forecast(
    browser: Browser, server: Server
) -> None:
    with opened(browser, server, "series") as tab:
        tab.click(tab.button("Use the example"))
        tab.until("document.querySelector('.chart .band')")
        assert "12 steps, from 2006-01-01" in tab.text(".answer")
        past = "document.querySelector('.chart .past').getAttribute('d').match(/[ML]/g).length"
        assert tab.run(past) == 48  # four years of months, which the model looks back on
        tab.click(".forecast summary")
        assert tab.run("document.querySelectorAll('.answers tbody tr').length") == 12
        tab.click(tab.button("Clear"))
        tab.type("#values", "1,5\n2,5\nNaN\n4\n")
        tab.until("document.querySelector('.chart .past')")
        assert '"target":[1.5,2.5,null,4]' in tab.text(".shell pre")
        assert tab.run(past) == 3
        tab.click(tab.button("Clear"))
        tab.type("#values", "shop\tmonth\tsold\na\t2024-01\t5\na\t2024-02\t6\nb\t2024-02\t50\n")
        tab.until("document.querySelectorAll('.chart').length === 2")
        assert "a 12 steps, from 2024-03-01" in tab.text(".answer")
        tab.click(tab.button("Clear"))
        tab.type("#values", "5 6 seven")
        tab.until("document.querySelector('.answer').textContent.includes('seven is no number')")


def test_what_the_server_refuses_is_shown_as_text(browser: Browser, server: Server) -> None:
    with opened(browser, server, "iris") as tab:
        tab.paste("td input", "<b>5</b>\t3.5\t1.4\t0.2\n5\t3\t1\t<i>\n")
        tab.until("document.querySelector('.complaint')")
        assert "row 1, column 1: '<b>5</b>' is not a number" in tab.text(".complaint")
        assert "row 2, column 4" in tab.text(".complaint")
        assert tab.run("document.querySelector('.complaint').getAttribute('role')") == "alert"
        assert not tab.run("document.querySelector('.complaint b')")
        assert not tab.run("document.querySelector('.answer.waiting')")


@pytest.mark.parametrize(
    "text",
    [
        '<img src=x onerror="document.title=1"><script>document.title=1</script>',
        "good" + " fine" * 100_000,
        "👩‍👩‍👧 🎉 " * 50,
        "\u202eטקסט מימין לשמאל\u202c",
        'it\'s "quoted" $(touch x) `touch x` \\ !',
        "@/etc/passwd",
    ],
)
def test_hostile_texts_and_names_of_classes_are_text(
    text: str, browser: Browser, server: Server
) -> None:
    with opened(browser, server, "hostile") as tab:
        before = tab.run("document.scripts.length")
        tab.type("#text", text)
        assert _verdict(tab) in HOSTILE
        names = tab.run("[...document.querySelectorAll('.bars .name')].map(e => e.textContent)")
        assert set(names) == set(HOSTILE)
        assert tab.run("document.scripts.length") == before
        assert not tab.run("document.querySelector('.answer img')")
        assert tab.run("document.title") == "hostile · algoshelf"
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
        words = shlex.split(tab.text(".shell pre"))
        if len(text) < 8000:
            assert json.loads(words[-1]) == {"instances": [text]}
        else:
            assert words[-1] == "@text.json"
        tab.run("document.querySelector('#text').value = '  '")
        tab.click("#ask .primary")
        tab.until("document.querySelector('.complaint')")
        assert tab.text(".complaint") == "Type a text first."


def test_the_command_is_that_of_serve_and_does_the_same(browser: Browser, iris_model: Path) -> None:
    with alone(browser, f"iris={iris_model}") as (server, tab):
        assert server.process.stderr is not None
        printed = server.process.stderr.readline().strip()
        tab.click(tab.button("Use the example"))
        assert _verdict(tab) != ""
        shown = tab.text(".shell pre")
        assert shown == printed
        done = subprocess.run(["sh", "-c", f"{shown} -s"], capture_output=True, check=True)
        cluster = json.loads(done.stdout)["predictions"][0]["closest_cluster"]
        assert tab.text(".verdict .name") == f"Cluster {cluster:.0f}"


def test_the_command_is_copied_or_else_selected(browser: Browser, server: Server) -> None:
    with opened(browser, server, "iris") as tab:
        allowed = ["clipboardReadWrite", "clipboardSanitizedWrite"]
        browser.call("Browser.grantPermissions", permissions=allowed, browserContextId=tab.context)
        tab.click(tab.button("Use the example"))
        assert _verdict(tab) != ""
        tab.click(tab.button("Copy"))
        tab.until("document.querySelector('.shell [role=status]').textContent === 'copied'")
        assert tab.run("navigator.clipboard.readText()") == tab.text(".shell pre")
        tab.run("navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed'))")
        tab.click('[data-test="Copy"]')
        tab.until("document.querySelector('.shell [role=status]').textContent.includes('Ctrl-C')")
        assert tab.run("getSelection().toString()") == tab.text(".shell pre")


def test_two_tabs_do_not_disturb_each_other(browser: Browser, server: Server) -> None:
    with opened(browser, server, "reviews") as one, opened(browser, server, "iris") as other:
        one.type("#text", "a warm and wonderful film")
        other.paste("td input", ROWS)
        other.until("document.querySelectorAll('.answers tbody tr').length === 3")
        assert _verdict(one) == "positive"
        one.run("location.hash = 'digits'")
        one.until("document.querySelector('#board')")
        assert one.run("document.activeElement.tagName") == "H1"
        assert other.text("h1") == "iris"
        assert other.run("document.querySelectorAll('.answers tbody tr').length") == 3


def test_models_and_their_states_are_listed(
    browser: Browser, server: Server, iris_model: Path
) -> None:
    with opened(browser, server, "reviews") as tab:
        listed = tab.text(".models").split()
        assert listed == [
            word for name in ("reviews", "digits", "pictures", "iris", "hostile", "series")
            for word in (name, "serving")
        ]  # fmt: skip
        tab.type("#text", "half a text")
        order = codecs.encode_json({"model_name": "late", "url": str(iris_model)})
        assert server.ask(order, codecs.JSON, "/models").status == 200
        tab.run("document.dispatchEvent(new Event('visibilitychange'))")  # as one who comes back
        tab.until("document.querySelector('.models a[href=\"#late\"]')")
        assert server.ask(path="/models/late", method="DELETE").status == 200
        assert tab.run("document.querySelector('#text').value") == "half a text"


def test_a_server_that_is_gone_is_told_in_a_sentence(browser: Browser, iris_model: Path) -> None:
    with alone(browser, f"iris={iris_model}") as (server, tab):
        tab.click(tab.button("Use the example"))
        assert _verdict(tab) != ""
        server.process.terminate()
        server.process.wait(PATIENCE)
        tab.click("#ask .primary")
        tab.until("document.querySelector('.complaint')")
        assert "cannot be reached. Is it still running?" in tab.text(".complaint")
        assert not tab.run("document.querySelector('.answer.waiting')")
        tab.until("document.querySelector('#status').textContent.includes('no connection')")
        assert tab.run("document.querySelector('td input').value") == "5.1"  # still there
        again = Server("--port", server.port, f"iris={iris_model}", "--workers", 1)
        try:
            again.wait()
            tab.click("#ask .primary")
            tab.until("document.querySelector('.verdict')")
        finally:
            again.close()


def test_a_server_that_hangs_is_not_waited_for_without_end(
    browser: Browser, iris_model: Path
) -> None:
    with alone(browser, f"iris={iris_model}", "--timeout", "1s") as (server, tab):
        tab.click(tab.button("Use the example"))
        assert _verdict(tab) != ""
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            tab.click("#ask .primary")
            tab.until("document.querySelector('.complaint')")
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        assert "did not answer within 6 seconds" in tab.text(".complaint")


def test_a_token_is_asked_for(browser: Browser, iris_model: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with alone(browser, f"iris={iris_model}", "--token-file", tmp_path / "token") as (_, tab):
        tab.until("document.activeElement?.id === 'token'")
        assert "iris" not in tab.text("body")
        tab.type("#token", "not the token")
        tab.press("Enter", 13, "\r")
        tab.until("document.querySelector('.complaint:not([hidden])')")
        tab.run("document.querySelector('#token').value = ''")
        tab.type("#token", "not-the-token-either")
        tab.press("Enter", 13, "\r")
        tab.until("document.querySelector('.complaint')?.textContent.includes('does not know')")
        tab.type("#token", TOKEN)
        tab.press("Enter", 13, "\r")
        tab.click(tab.button("Use the example"))
        assert _verdict(tab) != ""
        assert "Authorization: Bearer TOKEN" in shlex.split(tab.text(".shell pre"))
        assert TOKEN not in tab.run("document.documentElement.outerHTML")


def test_a_plugin_s_own_widget_asks_and_shows(browser: Browser, plugin: Plugin) -> None:
    with alone(browser, plugin.model, **plugin.environment) as (_, tab):
        tab.until("document.querySelector('[aria-label=\"petal length\"]')")
        tab.click("#ask .primary")
        tab.until("document.querySelector('.answer .own')")
        assert tab.text(".own").split()[1] in ("red", "green", "blue")
        assert "<b>its own widget</b>" in tab.text(".about")
        assert tab.complaints() == []


def test_a_widget_that_fails_leaves_a_way_to_ask(
    browser: Browser, plugin: Plugin, tmp_path: Path
) -> None:
    site = shutil.copytree(plugin.site, tmp_path / "site")
    (site / "acme_dial.js").write_text("export function create() { throw new Error('<b>no dial') }")
    broken = Plugin(site, plugin.model)
    with alone(browser, plugin.model, **broken.environment) as (_, tab):
        tab.until("document.querySelector('.complaint')")
        assert "<b>no dial" in tab.text(".complaint")
        tab.type("#body", "5.1,3.5,1.4,0.2")
        tab.until("document.querySelector('.verdict')")
        assert tab.text(".verdict .name") in ("red", "green", "blue")
        tab.run("document.querySelector('#body').value = ''")
        tab.type("#body", "no number")
        tab.until("document.querySelector('.complaint')")
        assert "no number" in tab.text(".complaint")


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        ([{"price": 152.31, "area": 1e-7}], "price\n152.31\narea\n1.000e-7"),
        ([{"labels": ["<b>", "warm"], "probabilities": {"<b>": 0.25, "warm": 0.9999}}],
         "warm\n> 99.9 %\n<b>\n25.0 %\nlabels\n<b>\nwarm"),
        ([{"label": "a", "probability": 0.5, "inverted": True}], "a\n50.0 %\n\ninverted: yes"),
        ([{"items": [{"item": "50", "score": 4.8}], "known": False}],
         "items\nrow\titem\tscore\n1\t50\t4.8\n\nknown: no"),
        ([[0.5, -1.5]], "0.5\n-1.5"),
        ([3], "answer\n3"),
        ([], "The answer is empty."),
        (["<script>"], "<script>"),
        ([{"a": 1}, {"a": None}], "row\ta\n1\t1\n2\tnull"),
    ],
)  # fmt: skip
def test_answers_of_any_task_are_shown(
    rows: list[Any], shown: str, browser: Browser, server: Server
) -> None:
    with opened(browser, server, "iris") as tab:
        tab.run(
            "import('/page/answer.js').then(({shown}) => document.querySelector('.answer')"
            f".replaceChildren(shown({json.dumps(rows)})))"
        )
        assert tab.text(".answer").strip() == shown


def test_of_many_classes_the_likeliest_are_shown_first(browser: Browser, server: Server) -> None:
    answer = {"probabilities": {f"class {i}": (1000 - i) / 500500 for i in range(1000)}}
    with opened(browser, server, "iris") as tab:
        tab.run(
            "import('/page/answer.js').then(({shown}) => document.querySelector('.answer')"
            f".replaceChildren(shown([{json.dumps(answer)}])))"
        )
        assert "995 more classes" in tab.text(".answer summary")
        tab.click(".answer summary")
        assert "900 less likely ones are not listed" in tab.text(".answer")


@pytest.mark.parametrize("name", ["reviews", "digits", "pictures", "iris", "hostile", "series"])
def test_it_fits_a_phone(name: str, browser: Browser, server: Server) -> None:
    with opened(browser, server, name, PHONE) as tab:
        tab.click(tab.button("Use the example"))
        tab.until(
            "!document.querySelector('.shell').hidden && document.querySelector('.one, .chart')"
        )
        assert tab.run("document.documentElement.scrollWidth") <= PHONE[0]
        small = tab.run(
            "[...document.querySelectorAll('button, .models a')].filter(each => each.offsetHeight)"
            ".map(each => [each.textContent, each.offsetHeight]).filter(([, size]) => size < 24)"
        )
        assert small == []  # WCAG 2.2, target size


def test_all_is_reached_by_the_keyboard(browser: Browser, server: Server) -> None:
    with opened(browser, server, "reviews") as tab:
        reached = []
        for _ in range(14):
            tab.press("Tab", 9)
            reached.append(
                tab.run("document.activeElement.textContent.trim() || document.activeElement.id")
            )
        assert reached[0] == "Skip to the question"
        assert reached.index("text") < reached.index("Ask") < reached.index("Clear")
        assert [each for each in reached if each.startswith("reviews")]
        tab.type("#text", "a warm and wonderful film")
        tab.press("Enter", 13, "\r", modifiers=2)  # Ctrl
        assert _verdict(tab) == "positive"


def test_the_skip_link_leads_to_the_question(browser: Browser, server: Server) -> None:
    with opened(browser, server, "iris") as tab:
        tab.press("Tab", 9)
        tab.press("Enter", 13, "\r")
        tab.until("document.activeElement.matches('td input')")
        assert tab.text("h1") == "iris"


@pytest.mark.skipif(
    not AXE.is_file(), reason="axe-core is not here: npm install --prefix .venv-page axe-core"
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["reviews", "digits", "pictures", "iris", "hostile", "series"])
def test_axe_finds_no_fault(name: str, scheme: str, browser: Browser, server: Server) -> None:
    size = PHONE if scheme == "dark" else (1200, 900)
    with opened(browser, server, name, size, prefers_color_scheme=scheme) as tab:
        tab.click(tab.button("Use the example"))
        tab.until("document.querySelector('.one, .answers')")
        time.sleep(0.5)  # of the transitions, in which colours are mixed
        tab.run(AXE.read_text())
        found = tab.run("axe.run().then(({violations}) => violations)")
        assert [
            (fault["id"], fault["impact"], [node["html"] for node in fault["nodes"]])
            for fault in found
        ] == []
