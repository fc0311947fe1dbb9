"""The page in a real browser: Debian's Chromium, driven by Playwright. Skipped where there is none."""

import csv
import functools
import http.server
import io
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from http_server import MODEL, serving
from PIL import Image

import nevus
from bad_inputs import encode
from nevus.cli.main import main
from nevus.core.modelfile import DISCLAIMER
from nevus.serve.http.settings import Settings
from nevus.serve.web import write_web_folder

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

CHROMIUM = shutil.which("chromium")
ARGUMENTS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync""".split()
RUNTIME = Path(os.environ.get("NEVUS_ONNXRUNTIME_WEB", "node_modules/onnxruntime-web"))
KEY = "a-key-of-some-length"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        browser.new_context().close()
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as address:
        yield address


Opened = Callable[..., "playwright.Page"]


@pytest.fixture
def opened(browser: "playwright.Browser") -> Iterator[Opened]:
    """Opens an address; at the end no page may have logged an error or asked another host."""
    contexts, faults = [], []

    def open_page(address: str, expected_fault: str = "", **options: object) -> "playwright.Page":
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        host = urlsplit(address).netloc
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda message: (
                faults.append(message.text)
                if message.type == "error" and not (expected_fault and expected_fault in message.text)
                else None
            ),
        )
        page.on(
            "request",
            lambda request: (
                faults.append(request.url)
                if urlsplit(request.url).netloc not in (host, "") and not request.url.startswith(f"blob:http://{host}")
                else None
            ),
        )
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def read_all(page: "playwright.Page", number: int) -> None:
    expect(page.locator("#status")).to_have_text(re.compile(rf"^{number} of {number} "), timeout=30_000)


def table_of(page: "playwright.Page") -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.click("#csv")
    return list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))


def drop(page: "playwright.Page", path: Path) -> None:
    transfer = page.evaluate_handle(
        """([bytes, name]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name));
            return transfer;
        }""",
        [list(path.read_bytes()), path.name],
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})


def said_by_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["predict", str(MODEL), *arguments, "--json"]) == 0
    record: dict[str, object] = json.loads(capsys.readouterr().out)
    return record


@pytest.fixture(scope="module")
def fit(lesions: list[Path]) -> list[Path]:
    """Those of the lesions that pass the check."""
    from nevus.core.preprocess import decode
    from nevus.serve.quality import QualityCheck

    check = QualityCheck()
    passing = [path for path in lesions if check.refusal(decode(path)) is None]
    assert len(passing) > len(lesions) / 2
    return passing


def test_a_dropped_image_is_answered_as_by_the_command_and_follows_the_settings(
    server: str, fit: list[Path], opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    page = opened(server)
    expect(page.locator(".disclaimer")).to_have_text(DISCLAIMER)
    expect(page.locator("html")).to_have_attribute("data-ready", "true")
    drop(page, fit[0])
    read_all(page, 1)
    said = said_by_command(capsys, str(fit[0]), "--prevalence", "0.02", "--operating-point", "youden")
    shown = page.locator(".number .big")
    assert float(shown.inner_text().split()[0]) == pytest.approx(100 * said["risk"], abs=0.51)
    assert said["triage"] in page.locator(".verdict").inner_text().lower()

    page.select_option("#prevalence", "0.02")
    page.select_option("#operating-point", "youden")
    assert float(shown.inner_text().split()[0]) == pytest.approx(100 * said["risk_at_prevalence"], rel=0.06)
    expect(page.locator(".decision")).to_contain_text("youden")
    expect(page.locator(".decision strong")).to_have_text(str(said["decision"]))
    expect(page.locator(".scale")).to_have_attribute("aria-label", re.compile("operating point youden"))

    expect(page.locator("#heat")).to_be_visible()
    page.locator("#opacity").focus()
    page.keyboard.press("End")
    expect(page.locator("#heat")).to_have_css("opacity", "1")
    page.keyboard.press("Home")
    expect(page.locator("#heat")).to_have_css("opacity", "0")


def test_fifty_files_with_bad_ones_among_them(server: str, fit: list[Path], opened: Opened, tmp_path: Path) -> None:
    bad = tmp_path / "text.png"
    bad.write_text("no image")
    tiny = tmp_path / "tiny, with comma.png"
    tiny.write_bytes(encode(Image.open(fit[0]).resize((60, 60)), "PNG"))
    files = [bad, tiny, *(fit * 10)[:48]]
    page = opened(server)
    page.set_input_files("#choose", files)
    read_all(page, 50)
    expect(page.locator(".verdict")).to_have_text("Cannot be read")
    assert page.locator(".number").count() == 0
    expect(page.locator("#status")).to_contain_text("2 without an answer")
    rows = table_of(page)
    expected = nevus.load(MODEL).predict(files[2:])
    assert [row["file"] for row in rows] == [path.name for path in files]
    assert rows[0]["risk"] == rows[1]["risk"] == ""
    assert "96 pixels" in rows[1]["error"]
    assert [float(row["risk"]) for row in rows[2:]] == pytest.approx([one.risk for one in expected], abs=1e-6)
    assert [row["triage"] for row in rows[2:]] == [one.triage for one in expected]

    page.locator("#cards button").nth(2).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#cards button").nth(2)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".answer .file")).to_have_text(files[2].name)
    page.click("#clear")
    expect(page.locator("#result")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_and_desk_have_no_fault_of_access(server: str, fit: list[Path], opened: Opened, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for width in (360, 1280):
        page = opened(server, viewport={"width": width, "height": 740}, color_scheme=scheme, has_touch=width < 1000)
        page.set_input_files("#choose", fit[:3])
        read_all(page, 3)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.mouse.wheel(0, 5000)
        expect(page.locator(".disclaimer")).to_be_in_viewport()
        assert page.locator("#camera-button").is_visible() == (width < 1000)
        found = axe.run(page).response["violations"]
        assert [
            (item["id"], item["nodes"][0]["html"]) for item in found if item["impact"] in ("serious", "critical")
        ] == []


def test_a_server_with_a_key_is_asked_with_it(fit: list[Path], opened: Opened) -> None:
    with serving(Settings(api_key=KEY)) as address:
        page = opened(address, expected_fault="401")
        page.fill("#key", KEY)
        page.click("#key-dialog .button")
        page.set_input_files("#choose", fit[0])
        read_all(page, 1)
        expect(page.locator(".number")).to_be_visible()


@pytest.fixture(scope="module")
def web_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not RUNTIME.is_dir():
        pytest.skip(f"onnxruntime-web is not at {RUNTIME}: npm install onnxruntime-web, or set NEVUS_ONNXRUNTIME_WEB")
    folder = tmp_path_factory.mktemp("web") / "page"
    write_web_folder(MODEL, folder, RUNTIME)
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as static:
        thread = threading.Thread(target=static.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{static.server_port}/"
        static.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def test_the_browser_alone_answers_as_python_does_and_without_a_network(
    web_folder: str, fit: list[Path], opened: Opened, tmp_path: Path
) -> None:
    odd = tmp_path / "odd_size.png"
    odd.write_bytes(encode(Image.open(fit[0]).resize((333, 207), Image.Resampling.BICUBIC), "PNG"))
    bad = tmp_path / "text.png"
    bad.write_text("no image")
    files = [*fit[:4], odd, bad]
    page = opened(web_folder)
    expect(page.locator("html")).to_have_attribute("data-ready", "true", timeout=30_000)
    page.set_input_files("#choose", files)
    read_all(page, len(files))
    rows = table_of(page)
    expected = nevus.load(MODEL).predict(files[:-1])
    for row, prediction in zip(rows, expected, strict=False):
        assert float(row["risk"]) == pytest.approx(prediction.risk, abs=1e-4)
        for name, probability in prediction.probabilities.items():
            assert float(row[f"p_{name}"]) == pytest.approx(probability, abs=1e-4)
    assert "cannot read" in rows[-1]["error"]
    expect(page.locator("#heat")).to_be_visible()
    opacity = np.asarray(page.evaluate(_HEAT_OPACITY))
    assert opacity.max() > 150

    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.context.set_offline(True)
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-ready", "true", timeout=30_000)
    page.set_input_files("#choose", fit[0])
    read_all(page, 1)
    expect(page.locator(".number")).to_be_visible()


_HEAT_OPACITY = """() => {
    const heat = document.getElementById("heat");
    const context = new OffscreenCanvas(32, 32).getContext("2d");
    context.drawImage(heat, 0, 0, 32, 32);
    return [...context.getImageData(0, 0, 32, 32).data].filter((_, index) => index % 4 === 3);
}"""
