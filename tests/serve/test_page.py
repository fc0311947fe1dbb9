"""The page in a real browser: Debian's Chromium, driven by Playwright. Skipped where there is none."""

import csv
import functools
import http.server
import io
import itertools
import json
import math
import os
import re
import shutil
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from http_server import MODEL, running, serving, wait_until
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

import nevus
import profiles
from bad_inputs import PICTURE, blank_files, encode
from nevus.cli.main import main
from nevus.core.estimate import Estimate
from nevus.core.familiarity import UNFAMILIAR, WHAT_FOLLOWS
from nevus.core.labels import Classes
from nevus.core.modelfile import DISCLAIMER
from nevus.core.preprocess import decode, read
from nevus.core.shipped import find_model
from nevus.serve.http.app import create_app
from nevus.serve.http.settings import Settings
from nevus.serve.prediction import Answer
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

    def open_page(address: str, expected_fault: str | tuple[str, ...] = (), **options: object) -> "playwright.Page":
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        host = urlsplit(address).netloc
        expected = (expected_fault,) if isinstance(expected_fault, str) else expected_fault
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda message: (
                faults.append(message.text)
                if message.type == "error" and not any(fault in message.text for fault in expected)
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
    from nevus.serve.quality import QualityCheck

    check = QualityCheck()
    passing = [path for path in lesions if check.refusal(read(path)) is None]
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
    # The model learned from noise, and the image is a phantom.
    assert said["unfamiliar"]
    expect(page.locator(".unfamiliar")).to_contain_text(UNFAMILIAR[0].upper() + UNFAMILIAR[1:] + ". " + WHAT_FOLLOWS)

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
    assert [row["error_code"] for row in rows[:3]] == ["not_readable", "too_small", ""]
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


def test_a_refused_key_is_told_and_no_key_says_how_to_try_again(opened: Opened) -> None:
    with serving(Settings(api_key=KEY)) as address:
        page = opened(address, expected_fault="401")
        expect(page.locator("#key-refused")).to_be_hidden()
        page.fill("#key", "schlüssel–mit–strich")  # noqa: RUF001 - no header may hold these dashes
        page.click("#key-dialog .button")
        assert page.evaluate("document.getElementById('key').validity.patternMismatch")
        page.fill("#key", "another-key")
        page.click("#key-dialog .button")
        # Its text is there before the dialog is open again.
        expect(page.locator("#key-refused")).to_be_visible()
        expect(page.locator("#key-refused")).to_have_text("That key was refused.")
        page.keyboard.press("Escape")
        expect(page.locator("#status")).to_contain_text("Reload the page to try again.")
        expect(page.locator("#key-dialog")).to_be_hidden()


def test_an_image_chosen_before_the_model_is_there_is_read_all_the_same(
    opened: Opened, server: str, fit: list[Path]
) -> None:
    page, held = opened(server), []
    expect(page.locator("html")).to_have_attribute("data-ready", "true")
    page.route("**/v1/model", lambda route: held.append(route))
    page.reload(wait_until="domcontentloaded")
    page.set_input_files("#choose", fit[0])
    expect(page.locator("#status")).to_have_text("")
    for _ in range(100):
        if held:
            break
        page.wait_for_timeout(50)
    held[0].continue_()
    read_all(page, 1)


def test_figures_that_are_not_known_are_left_out(opened: Opened, fit: list[Path]) -> None:
    predictor = nevus.load(MODEL)
    unknown, alone = Estimate(math.nan, math.nan, math.nan), Estimate(0.5, math.nan, math.nan)
    points = predictor.spec.operating_points
    points = tuple(replace(point, sensitivity=unknown, specificity=alone) for point in points)
    predictor.spec = replace(predictor.spec, operating_points=points, test_metrics={"auc": [0.9, None, None]})
    with running(create_app(predictor, Settings())) as address:
        page = opened(address)
        page.set_input_files("#choose", fit[0])
        read_all(page, 1)
        told = page.inner_text("#operating-point-help")
        assert "finds" not in told
        assert "There it correctly clears 50\u00a0% (no interval) of the benign images." in told
        assert "going by the model's validation images" not in page.inner_text("#answer")
        assert "0.900 (no interval)" in page.locator("#model-facts").evaluate("element => element.textContent")


def test_metrics_of_an_adapted_model_are_those_of_its_place(opened: Opened, fit: list[Path]) -> None:
    predictor = nevus.load(MODEL)
    known = {"fitted_on": "adaptation", "sensitivity": Estimate(0.9, 0.8, 0.95), "specificity": Estimate(0.6, 0.5, 0.7)}
    points = tuple(replace(point, **known) for point in predictor.spec.operating_points)
    predictor.spec = replace(predictor.spec, operating_points=points, test_metrics={"roc_auc": [0.9, 0.8, 0.95]})
    with running(create_app(predictor, Settings())) as address:
        page = opened(address)
        page.set_input_files("#choose", fit[0])
        read_all(page, 1)
        facts = page.locator("#model-facts").evaluate("element => element.textContent")
        assert "on the images it was adapted with, by cross-fitting" in facts
        assert "going by the images it was adapted with" in page.inner_text("#answer")


def test_an_open_page_notices_that_the_server_has_another_model(opened: Opened, fit: list[Path]) -> None:
    with serving() as address:
        page = opened(address)
        page.set_input_files("#choose", fit[0])
        read_all(page, 1)
        expect(page.locator(".number")).to_be_visible()
    wait_until(lambda: is_free(urlsplit(address).port), seconds=30)
    with running(create_app(nevus.load(find_model("compact")), Settings()), urlsplit(address).port):
        page.set_input_files("#choose", fit[1])
        read_all(page, 2)
        page.locator("#cards button").nth(1).click()
        expect(page.locator(".why")).to_have_text("The server has another model now. Reload the page.")
        assert page.locator(".number").count() == 0


@contextmanager
def serving_answer(**probabilities: float) -> Iterator[str]:
    """A server whose model has these classes, all but the first malignant, and always says the same."""
    predictor = nevus.load(MODEL)
    names = tuple(probabilities)
    shares = np.array(list(probabilities.values()), np.float32)
    predictor.spec = replace(predictor.spec, classes=Classes(names, names[1:]))

    def always(pixels, *_):  # type: ignore[no-untyped-def]
        return [Answer(shares, shares[1:].sum(), np.eye(4, dtype=np.float32))] * len(pixels)

    predictor.answer = always  # type: ignore[method-assign]
    with running(create_app(predictor, Settings())) as address:
        yield address


def test_the_classes_follow_the_prevalence_as_the_risk_does(opened: Opened, fit: list[Path]) -> None:
    with serving_answer(nevus=0.4, melanoma=0.5, carcinoma=0.1) as address:
        page = opened(address)
        page.set_input_files("#choose", fit[0])
        read_all(page, 1)
        page.select_option("#prevalence", "0.1")
        shown = {
            row.locator("th").inner_text().split()[0]: float(row.locator(".number-cell").inner_text().split()[0])
            for row in page.locator(".classes tr").all()
        }
        odds = 0.6 / 0.4 * (0.1 / 0.9) / (0.4 / 0.6)  # The model assumes 40 in 100.
        risk = 100 * odds / (1 + odds)
        assert shown == pytest.approx({"nevus": 100 - risk, "melanoma": risk * 5 / 6, "carcinoma": risk / 6}, abs=0.5)
    with serving_answer(nevus=1.0, melanoma=0.0, carcinoma=0.0) as address:
        page = opened(address)
        page.set_input_files("#choose", fit[0])
        read_all(page, 1)
        page.select_option("#prevalence", "0.1")
        assert page.locator(".classes .number-cell").all_inner_texts() == ["100\u00a0%", "0\u00a0%", "0\u00a0%"]


@pytest.mark.parametrize(("name", "risk"), [("low", 0.15), ("high", 0.85)])
def test_the_marker_stands_in_its_zone_at_any_prevalence(
    opened: Opened, fit: list[Path], name: str, risk: float
) -> None:
    with serving_answer(benign=1 - risk, malignant=risk) as address:
        page = opened(address, viewport={"width": 360, "height": 740})
        page.set_input_files("#choose", fit[0])
        read_all(page, 1)
        page.select_option("#prevalence", "other")
        for share in ("0.01", "50", "99.9"):
            page.fill("#other-prevalence", share)
            zone, marker = (page.locator(one).bounding_box() for one in (f".zone.{name}", ".marker"))
            middle = marker["x"] + marker["width"] / 2
            assert zone["x"] + 2 < middle < zone["x"] + zone["width"] - 2
            ticks = [tick.bounding_box() for tick in page.locator(".tick").all()]
            assert len(ticks) > 3
            assert share != "50" or len(ticks) == 7
            assert all(one["x"] + one["width"] < next_one["x"] for one, next_one in itertools.pairwise(ticks))


def test_a_share_that_is_none_is_told_and_a_decimal_comma_is_a_point(
    server: str, fit: list[Path], opened: Opened
) -> None:
    page = opened(server)
    page.set_input_files("#choose", fit[0])
    read_all(page, 1)
    assumed = page.inner_text(".number .big")
    page.select_option("#prevalence", "other")
    for text in ("0", "abc", "", "0x10", "100", "1.2.3", "-5"):
        page.fill("#other-prevalence", text)
        expect(page.locator("#other-prevalence")).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#prevalence-help")).to_have_text(
            "Expected a number from 0.01 to 99.9; the risks below still assume 40\u00a0%."
        )
        assert page.inner_text(".number .big") == assumed
    page.fill("#other-prevalence", " 1,5 ")
    expect(page.locator("#other-prevalence")).to_have_attribute("aria-invalid", "false")
    expect(page.locator("#prevalence-help")).to_contain_text("to 1.5\u00a0%.")


def test_on_paper_and_in_forced_colours_the_scale_keeps_its_bands(server: str, fit: list[Path], opened: Opened) -> None:
    page = opened(server)
    page.set_input_files("#choose", fit[0])
    read_all(page, 1)
    marks = (".marker", ".zone.low", ".zone.uncertain", ".swatch.raises")
    colours = [page.locator(mark).evaluate("element => getComputedStyle(element).backgroundColor") for mark in marks]
    assert len(set(colours)) == len(marks)
    page.emulate_media(forced_colors="active")
    for mark, colour in zip(marks, colours, strict=True):
        expect(page.locator(mark)).to_have_css("background-color", colour)
    page.emulate_media(media="print", forced_colors="none")
    for mark in marks:
        expect(page.locator(mark)).to_have_css("print-color-adjust", "exact")


def test_no_heatmap_lies_over_a_picture_that_the_browser_shows_otherwise_or_not_at_all(
    server: str, fit: list[Path], opened: Opened, tmp_path: Path
) -> None:
    image, exif = Image.open(fit[0]).convert("RGB"), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    wide = image.resize((160, 128))
    contents = {
        "good.png": encode(image, "PNG"),
        "unknown_here.tif": encode(image, "TIFF"),
        "turned.jpg": encode(wide, "JPEG", exif=exif),
        "turned.webp": encode(wide, "WEBP", exif=exif, lossless=True),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    page = opened(server)
    page.set_input_files("#choose", [tmp_path / name for name in contents])
    read_all(page, 4)
    told = {
        "good.png": None,
        "unknown_here.tif": "This browser cannot show the file, so no heatmap lies over it.",
        "turned.jpg": None,
        "turned.webp": "No heatmap: the browser shows this picture in a different orientation from "
        "the one the model saw.",
    }
    cards = page.locator("#cards button")
    for number in (0, 1, 2, 3, 0):
        cards.nth(number).click()
        text = told[list(contents)[number]]
        expect(page.locator(".number")).to_be_visible()
        expect(page.locator("#heat")).to_be_visible(visible=text is None)
        expect(page.locator("#heat-control")).to_be_visible(visible=text is None)
        expect(page.locator("#picture-note")).to_be_visible(visible=text is not None)
        if text is not None:
            expect(page.locator("#picture-note")).to_have_text(text)


GONE = "The file cannot be read: it is a folder, or was moved or deleted."


def test_folders_and_files_that_are_gone_are_told_apart_from_a_server_that_is(
    opened: Opened, fit: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    shutil.copy(fit[0], tmp_path / "gone.png")
    with serving() as address:
        # Chromium says of each that it could not be loaded.
        page = opened(address, expected_fault="Failed to load resource")
        to_be_ready(page)
        drop_path(page, tmp_path / "folder")
        read_all(page, 1)
        expect(page.locator(".why")).to_have_text(GONE)
    page.set_input_files("#choose", tmp_path / "gone.png")
    read_all(page, 2)
    page.locator("#cards button").nth(1).click()
    expect(page.locator(".why")).to_contain_text("Is the server still there?")


def drop_path(page: "playwright.Page", path: Path) -> None:
    """As a person drops it: a folder, too."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 100, "y": 200, "data": data})


def test_the_csv_has_no_formulas(server: str, fit: list[Path], opened: Opened, tmp_path: Path) -> None:
    names = ["=1+1.png", "-1.png", "good.png"]
    for name in names:
        shutil.copy(fit[0], tmp_path / name)
    page = opened(server)
    page.set_input_files("#choose", [tmp_path / name for name in names])
    read_all(page, 3)
    assert [row["file"] for row in table_of(page)] == ["'=1+1.png", "'-1.png", "good.png"]


@pytest.fixture(scope="module")
def web_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("web") / "page"
    write_folder(folder)
    with serving_folder(folder) as address:
        yield address


def write_folder(folder: Path, model: Path = MODEL) -> None:
    if not RUNTIME.is_dir():
        pytest.skip(f"onnxruntime-web is not at {RUNTIME}: npm install, or set NEVUS_ONNXRUNTIME_WEB")
    write_web_folder(model, folder, RUNTIME)


@contextmanager
def serving_folder(
    folder: Path, port: int = 0, handler: type[http.server.SimpleHTTPRequestHandler] | None = None
) -> Iterator[str]:
    """A static server that lets browsers keep what they got for an hour, or one with another handler."""
    handler = functools.partial(handler or LastingHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as static:
        thread = threading.Thread(target=static.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{static.server_port}/"
        static.shutdown()
        thread.join()


class LastingHandler(http.server.SimpleHTTPRequestHandler):
    # As nginx, unless told more.
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {".mjs": "application/octet-stream"}

    def log_message(self, *arguments: object) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "max-age=3600")
        super().end_headers()


class StrictHandler(LastingHandler):
    """A host that allows scripts of its own, and no WebAssembly."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", "script-src 'self'")
        super().end_headers()


class FallbackHandler(LastingHandler):
    """A host that answers with its first page what it does not have."""

    def send_head(self) -> object:
        if not Path(self.translate_path(self.path)).exists():
            self.path = "/index.html"
        return super().send_head()


READY = "navigator.serviceWorker.ready.then(() => true)"


def to_be_ready(page: "playwright.Page") -> None:
    expect(page.locator("html")).to_have_attribute("data-ready", "true", timeout=30_000)


def is_free(port: int | None) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def kept(page: "playwright.Page", address: str) -> int | None:
    """The size of a file in the only cache that has it; None if there is none, or several."""
    size: int | None = page.evaluate(
        """async (address) => {
            const found = [];
            for (const name of await caches.keys()) found.push(await (await caches.open(name)).match(address));
            const responses = found.filter((response) => response !== undefined);
            return responses.length === 1 ? (await responses[0].arrayBuffer()).byteLength : null;
        }""",
        address,
    )
    return size


def test_folders_of_one_host_keep_their_own_files_and_new_ones_are_never_mixed_with_old(
    opened: Opened, tmp_path: Path
) -> None:
    other = find_model("compact")
    for name, model in {"one": MODEL, "two": MODEL, "new": other}.items():
        write_folder(tmp_path / "site" / name, model)
    old, new = (path.stat().st_size for path in (MODEL, other))
    with serving_folder(tmp_path / "site") as address:
        page = opened(f"{address}one/")
        for name in ("one", "two"):
            page.goto(f"{address}{name}/")
            to_be_ready(page)
            page.evaluate(READY)
        assert [kept(page, f"/{name}/model.onnx") for name in ("one", "two")] == [old, old]

        for path in (tmp_path / "site" / "new").iterdir():  # A static server tells times by the second.
            os.utime(path, (time.time() + 60, time.time() + 60))
        (tmp_path / "site" / "one").rename(tmp_path / "old")
        (tmp_path / "site" / "new").rename(tmp_path / "site" / "one")
        page.goto(f"{address}one/")
        to_be_ready(page)
        wait_until(lambda: kept(page, "/one/model.onnx") == new, seconds=30)
        assert kept(page, "/two/model.onnx") == old
        page.reload()
        to_be_ready(page)
        expect(page.locator("#model-line")).to_contain_text(f"{nevus.load(other).spec.num_parameters:,}")


def test_a_model_of_another_version_than_its_description_is_refused(opened: Opened, tmp_path: Path) -> None:
    write_folder(tmp_path / "page")
    shutil.copy(find_model("compact"), tmp_path / "page" / "model.onnx")
    with serving_folder(tmp_path / "page") as address:
        page = opened(address)
        expect(page.locator("#status")).to_contain_text("one of them is of another version. Reload the page.")


def test_a_page_without_its_engine_or_a_server_says_so(opened: Opened, tmp_path: Path) -> None:
    write_folder(tmp_path / "page")
    page = opened((tmp_path / "page" / "index.html").as_uri(), expected_fault=("CORS policy", "ERR_FAILED"))
    expect(page.locator("#status")).to_contain_text("This page needs a web server")
    (tmp_path / "page" / "ort.wasm.bundle.min.js").unlink()
    with serving_folder(tmp_path / "page") as address:
        page = opened(address, expected_fault="404")
        expect(page.locator("#status")).to_contain_text("The model could not be loaded")


def test_a_host_that_forbids_webassembly_or_sends_pages_in_place_of_files_is_named(
    opened: Opened, tmp_path: Path
) -> None:
    write_folder(tmp_path / "page")
    with serving_folder(tmp_path / "page", handler=StrictHandler) as address:
        page = opened(address, expected_fault="Content Security Policy")
        expect(page.locator("#status")).to_contain_text("needs script-src 'self' 'wasm-unsafe-eval'", timeout=30_000)
    runtime, description = (tmp_path / "page" / name for name in ("ort-wasm-simd-threaded.wasm", "model.json"))
    runtime.write_bytes(b"<!doctype html>" + runtime.read_bytes()[:1000])
    with serving_folder(tmp_path / "page", handler=FallbackHandler) as address:
        expect(opened(address).locator("#status")).to_contain_text(
            "something else in place of ort-wasm", timeout=30_000
        )
        for missing in (description, runtime):
            missing.unlink()
            said = f"a page of HTML in place of {missing.name}"
            if missing is description:
                runtime.write_bytes((RUNTIME / "dist" / runtime.name).read_bytes())
            expect(opened(address).locator("#status")).to_contain_text(said, timeout=30_000)


def test_a_server_takes_over_from_a_folder_at_the_same_address(opened: Opened, tmp_path: Path) -> None:
    write_folder(tmp_path / "page", find_model("compact"))
    with serving_folder(tmp_path / "page") as address:
        page = opened(address)
        to_be_ready(page)
        page.evaluate(READY)
    wait_until(lambda: is_free(urlsplit(address).port), seconds=30)
    with running(create_app(nevus.load(MODEL), Settings()), urlsplit(address).port):
        page.goto(address)
        expect(page.locator("#privacy")).to_contain_text("go to this server only", timeout=30_000)
        to_be_ready(page)
        expect(page.locator("#model-line")).to_contain_text(f"{nevus.load(MODEL).spec.num_parameters:,}")
        assert page.evaluate("navigator.serviceWorker.getRegistrations().then(({ length }) => length)") == 0
        assert page.evaluate("caches.keys()") == []


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
        assert float(row["familiarity"]) == pytest.approx(prediction.familiarity, abs=0.01)
        assert row["unfamiliar"] == str(float(row["familiarity"]) < 0.02).lower()
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


def test_the_browser_alone_tells_blank_images_from_others_as_python_does(
    web_folder: str, opened: Opened, tmp_path: Path
) -> None:
    seen = np.full((128, 128, 3), 100, dtype=np.uint8)
    seen[:, 64:, 2] += 17
    contents = {name: content for name, (content, _) in blank_files().items()}
    contents |= {
        "seen.png": encode(Image.fromarray(seen), "PNG"),
        "picture.png": encode(Image.fromarray(PICTURE), "PNG"),
    }
    files = [tmp_path / name for name in contents]
    for path, content in zip(files, contents.values(), strict=True):
        path.write_bytes(content)
    page = opened(web_folder)
    to_be_ready(page)
    page.set_input_files("#choose", files)
    read_all(page, len(files))
    codes = [row["error_code"] for row in table_of(page)]
    assert codes == [answer.error_code for answer in nevus.load(MODEL).predict(files)]
    assert codes[:-2] == ["blank"] * len(blank_files())
    assert "blank" not in codes[-2:]


def test_the_browser_alone_refuses_several_frames_as_python_does_and_files_that_are_gone(
    web_folder: str, server: str, fit: list[Path], opened: Opened, tmp_path: Path
) -> None:
    image = Image.open(fit[0]).convert("RGB")
    frames = {"save_all": True, "append_images": [image.rotate(90)]}
    contents = {f"two.{kind}": encode(image, kind, **frames) for kind in ("gif", "png", "webp")}
    contents |= {f"one.{kind}": encode(image, kind) for kind in ("gif", "png", "webp")}
    contents["cut_off.gif"] = contents["one.gif"][:200]
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    tables = []
    for address in (web_folder, server):
        page = opened(address)
        to_be_ready(page)
        page.set_input_files("#choose", [tmp_path / name for name in contents])
        read_all(page, len(contents))
        tables.append(table_of(page))
    for row, expected in zip(*tables, strict=True):
        assert (row["risk"] == "") == (expected["risk"] == ""), row["file"]
        if row["file"].startswith("two"):
            assert row["error"] == expected["error"] != ""

    (tmp_path / "folder").mkdir()
    page = opened(web_folder, expected_fault="ERR_FILE_NOT_FOUND")
    to_be_ready(page)
    drop_path(page, tmp_path / "folder")
    read_all(page, 1)
    expect(page.locator(".why")).to_have_text(GONE)


def test_the_browser_alone_sees_colours_of_a_profile_as_python_does(web_folder: str, opened: Opened) -> None:
    picture = Image.fromarray(PICTURE)
    alpha = Image.linear_gradient("L").resize(picture.size)
    gamma = PngImagePlugin.PngInfo()
    gamma.add(b"gAMA", struct.pack(">I", 100_000))
    profiles_of = {name: profiles.profile(name) for name in profiles.SPACES}
    contents = {f"{name}.png": encode(picture, "PNG", icc_profile=each) for name, each in profiles_of.items()}
    icc = profiles_of["ProPhoto RGB"]
    contents |= {
        "none.png": encode(picture, "PNG"),
        # A gamma that is no profile: both leave the pixels as they are.
        "none_but_gamma.png": encode(picture, "PNG", pnginfo=gamma),
        "palette.png": encode(picture.quantize(64), "PNG", icc_profile=icc),
        "transparent.png": encode(Image.merge("RGBA", (*picture.split(), alpha)), "PNG", icc_profile=icc),
        "photo.jpg": encode(picture, "JPEG", quality=95, icc_profile=icc),
        "none.jpg": encode(picture, "JPEG", quality=95),
        "web.webp": encode(picture, "WEBP", lossless=True, icc_profile=icc),
        "srgb.png": encode(
            picture, "PNG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        ),
    }
    page = opened(web_folder)
    to_be_ready(page)
    for name, content in contents.items():
        seen = np.array(page.evaluate(_DECODED, list(content))).reshape(PICTURE.shape)
        difference = np.abs(seen - np.asarray(decode(content)).astype(int))
        assert difference.max() <= (0 if name.startswith("none") else 2), (name, difference.max())


_DECODED = """async (bytes) => {
    const { decode } = await import("./browser.js");
    return [...(await decode(new File([new Uint8Array(bytes)], "image"), 1e6)).data];
}"""
_HEAT_OPACITY = """() => {
    const heat = document.getElementById("heat");
    const context = new OffscreenCanvas(32, 32).getContext("2d");
    context.drawImage(heat, 0, 0, 32, 32);
    return [...context.getImageData(0, 0, 32, 32).data].filter((_, index) => index % 4 === 3);
}"""
