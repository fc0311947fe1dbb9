import base64
import gc
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from http_server import MODEL, running, serving, wait_until
from PIL import ExifTags, Image

import nevus
from bad_inputs import PICTURE, bad_files, blank_files, encode, odd_but_good_files
from nevus.cli.main import main
from nevus.core.errors import ConfigError, ModelFileError
from nevus.core.modelfile import DISCLAIMER
from nevus.core.shipped import find_model
from nevus.serve.http import app, scoring
from nevus.serve.http.app import create_app
from nevus.serve.http.batching import Batcher, _Waiting
from nevus.serve.http.errors import ApiError
from nevus.serve.http.openapi import EXAMPLE_PREDICTION
from nevus.serve.http.schemas import PredictAnswer
from nevus.serve.http.settings import Settings, api_key_for
from nevus.serve.http.uploads import _Form

SMALL = Settings(max_bytes=400_000, max_pixels=1_000_000, max_images=4)
KEY = "a-key-of-some-length"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture(scope="module")
def small_server() -> Iterator[str]:
    with serving(SMALL) as address:
        yield address


def post(address: str, *contents: bytes, name: str = "x.png", **parameters: object) -> httpx.Response:
    files = [("images", (name, content)) for content in contents]
    return httpx.post(f"{address}/v1/predict", files=files, params=parameters, timeout=30)


def counter(address: str, name: str) -> float:
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def picture(width: int = 128, height: int = 128) -> bytes:
    return encode(Image.fromarray(PICTURE).resize((width, height)), "PNG")


def test_answers_are_those_of_python(server: str, lesions: list[Path]) -> None:
    expected = nevus.load(MODEL).predict(lesions, operating_point="youden", prevalence=0.02, check=False)
    contents = [path.read_bytes() for path in lesions]
    answer = post(server, *contents, operating_point="youden", prevalence=0.02, check=False).json()
    assert (answer["operating_point"], answer["prevalence"], answer["disclaimer"]) == ("youden", 0.02, DISCLAIMER)
    assert len(answer["predictions"]) == len(lesions) > 4
    for result, prediction in zip(answer["predictions"], expected, strict=True):
        assert result["error"] is None
        # Which images go together is a matter of time, and batches of other sizes may round in another way.
        assert result["risk"] == pytest.approx(prediction.risk, abs=1e-5)
        assert result["decision"] == ("malignant" if prediction.decision else "benign")
        assert result["triage"] == prediction.triage
        assert result["risk_at_prevalence"] == pytest.approx(prediction.risk_at_prevalence, abs=1e-5)
        assert result["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-5)
        assert result["familiarity"] == pytest.approx(prediction.familiarity, abs=1e-3)
        assert result["unfamiliar"] == (result["familiarity"] < 0.02)
        assert result["heatmap"] is None


def test_clinical_values_for_a_model_of_pixels_alone_are_refused(server: str) -> None:
    answer = post(server, picture(), check=False, metadata="age=55")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "unknown_metadata")
    assert "the model takes pixels alone" in answer.json()["error"]["message"]


def test_heatmap_is_a_picture_that_can_be_laid_over(server: str, lesions: list[Path]) -> None:
    (result,) = post(server, lesions[0].read_bytes(), heatmap=True).json()["predictions"]
    heatmap = Image.open(io.BytesIO(base64.b64decode(result["heatmap"]["png"])))
    assert heatmap.mode == "RGBA"
    assert heatmap.size == (32, 32)
    assert heatmap.getchannel("A").getextrema()[1] > 150
    assert result["heatmap"]["strongest"] > 0
    assert (result["heatmap"]["width"], result["heatmap"]["height"]) == (128, 128)


def test_a_heatmap_tells_the_size_of_the_upright_image(server: str) -> None:
    image, exif = Image.fromarray(PICTURE).resize((200, 100)), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for kind in ("JPEG", "WEBP"):
        content = encode(image, kind, exif=exif)
        (result,) = post(server, content, check=False, heatmap=True).json()["predictions"]
        assert (result["heatmap"]["width"], result["heatmap"]["height"]) == (100, 200)


def test_each_answer_names_the_model_that_gave_it(server: str) -> None:
    named = httpx.get(f"{server}/v1/model").json()["fingerprint"]
    assert named == hashlib.sha256(nevus.load(MODEL).spec.to_json().encode()).hexdigest()
    assert post(server, picture(), check=False).json()["fingerprint"] == named
    with serving(model=find_model("compact")) as other:
        assert httpx.get(f"{other}/v1/model").json()["fingerprint"] != named


def test_a_bad_image_does_not_lose_the_others(server: str, lesions: list[Path]) -> None:
    response = post(server, b"text", lesions[0].read_bytes(), b"")
    assert response.status_code == 200
    first, second, third = response.json()["predictions"]
    assert first["error"]["code"] == third["error"]["code"] == "not_readable"
    assert first["risk"] is None
    assert second["error"] is None


def test_refused_images_have_no_risk(server: str, lesions: list[Path]) -> None:
    with Image.open(lesions[0]) as image:
        tiny = encode(image.resize((64, 64)), "PNG")
    response = post(server, tiny, tiny)
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "too_small"
    assert "None of the 2 images" in response.json()["error"]["message"]
    assert [result["risk"] for result in response.json()["predictions"]] == [None, None]
    assert post(server, tiny, check=False).status_code == 200
    (result,) = post(server, tiny, lenient=True).json()["predictions"]
    assert result["error"]["code"] == "too_small"


def test_a_blank_image_is_told_from_one_that_cannot_be_read_checked_or_not(server: str) -> None:
    for check in (True, False):
        for name, (content, reason) in blank_files().items():
            response = post(server, content, name=name, check=check)
            assert (response.status_code, response.json()["error"]["code"]) == (422, "blank"), name
            assert response.json()["error"]["message"].startswith("There is nothing to see: all of it")
            assert reason in response.json()["error"]["message"]


def test_corpus_of_bad_files_gives_reasons_and_odd_ones_answers(server: str) -> None:
    bad, odd = bad_files(), odd_but_good_files()
    files = [("images", (name, content)) for name, (content, _) in bad.items()]
    response = httpx.post(f"{server}/v1/predict?check=false", files=files, timeout=60)
    assert response.status_code in (413, 422)
    assert [result["name"] for result in response.json()["predictions"]] == list(bad)
    assert all(result["error"]["message"].endswith(".") for result in response.json()["predictions"])
    names = list(odd)
    for some in (names[:20], names[20:]):
        files = [("images", (name, odd[name])) for name in some]
        results = httpx.post(f"{server}/v1/predict?check=false", files=files, timeout=60).json()["predictions"]
        assert [result["error"] for result in results] == [None] * len(some)
    assert (
        post(server, picture(), name="naïve 皮膚.png", check=False).json()["predictions"][0]["name"] == "naïve 皮膚.png"
    )


@contextmanager
def serving_with_failure(problem: Exception) -> Iterator[str]:
    """A server whose model fails on bright images."""
    predictor = nevus.load(MODEL)
    answer = predictor.answer

    def failing(pixels, *more):  # type: ignore[no-untyped-def]
        if (pixels.min(axis=(1, 2, 3)) > 200).any():
            raise problem
        return answer(pixels, *more)

    predictor.answer = failing  # type: ignore[method-assign]
    with running(create_app(predictor, Settings())) as address:
        yield address


BRIGHT = encode(Image.fromarray(255 - PICTURE // 5).resize((128, 128)), "PNG")


def test_an_image_on_which_the_model_fails_costs_no_other_its_answer() -> None:
    with serving_with_failure(ModelFileError("No finite risk.")) as address:
        response = post(address, picture(), BRIGHT, check=False)
        assert response.status_code == 200
        good, bad = response.json()["predictions"]
        assert (good["error"], bad["error"]) == (None, {"code": "model_failed", "message": "No finite risk."})
        for contents in ([BRIGHT], [b"text", BRIGHT]):
            for lenient in (False, True):
                response = post(address, *contents, check=False, lenient=lenient)
                assert (response.status_code, response.json()["error"]["code"]) == (500, "model_failed")
        assert counter(address, 'nevus_images_total{outcome="model_failed"}') == 5


def test_an_image_that_cannot_be_used_is_not_held(server: str) -> None:
    def num_held() -> int:
        return sum(isinstance(found, _Waiting) for found in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = num_held()
        assert post(server, b"text").status_code == 422
        wait_until(lambda: num_held() == before)
    finally:
        gc.enable()


def test_a_fault_at_any_address_has_the_one_form(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(spec: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(app, "describe_model", broken)
    with serving() as address:
        response = httpx.get(f"{address}/v1/model")
        assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
        assert "secret" not in response.text
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_every_answer_is_counted_and_guarded_faults_too() -> None:
    with serving_with_failure(ValueError("secret")) as address:
        response = post(address, BRIGHT, check=False)
        assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
        assert "secret" not in response.text
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert post(address, BRIGHT, prevalence=2).status_code == 422
        assert httpx.post(f"{address}/v1/predict", headers={"host": "evil.example"}).status_code == 421
        assert post(address, picture(), check=False).status_code == 200
        for status in (500, 422, 421, 200):
            assert counter(address, f'nevus_requests_total{{status="{status}"}}') == 1


def test_a_server_whose_work_has_ended_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Batcher, "_work", lambda batcher: None)
    with serving() as address:
        response = httpx.get(f"{address}/readyz")
        assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")
        assert post(address, picture(), check=False).status_code == 500


def multipart(*parts: bytes) -> tuple[bytes, dict[str, str]]:
    head = b'--b\r\nContent-Disposition: form-data; name="images"; filename="x"\r\n\r\n'
    return b"".join(head + part + b"\r\n" for part in parts) + b"--b--\r\n", {
        "content-type": "multipart/form-data; boundary=b"
    }


WHOLE, FORM = multipart(b"text")


@pytest.mark.parametrize(
    ("body", "headers", "query", "status", "code"),
    [
        (b"{}", {"content-type": "application/json"}, "", 415, "unsupported_media_type"),
        (WHOLE, {"content-type": "multipart/form-data"}, "", 415, "unsupported_media_type"),
        (WHOLE[:-8], FORM, "", 400, "malformed_multipart"),
        (b"--other\r\n\r\n", FORM, "", 400, "malformed_multipart"),
        (b"--b--\r\n", FORM, "", 422, "no_images"),
        (WHOLE.replace(b"images", b"others"), FORM, "", 422, "no_images"),
        (multipart(*[b"x"] * 5)[0], FORM, "", 413, "too_many_images"),
        (multipart(b"x" * 400_001)[0], FORM, "", 413, "request_too_large"),
        (multipart(picture(1001, 1000))[0], FORM, "", 413, "too_many_pixels"),
        (WHOLE.replace(b'"x"', b'"' + b"x" * 8192 + b'"'), FORM, "", 400, "malformed_multipart"),
        (WHOLE.replace(b'"x"', b'"x"' + b"; a" * 100_000), FORM, "", 400, "malformed_multipart"),
        (WHOLE, FORM, "", 422, "not_readable"),
        (WHOLE, FORM, "?operating_point=none", 422, "unknown_operating_point"),
        (WHOLE, FORM, "?prevalence=1", 422, "invalid_parameter"),
        (WHOLE, FORM, "?prevalence=nan", 422, "invalid_parameter"),
        (WHOLE, FORM, "?heatmap=perhaps", 422, "invalid_parameter"),
    ],
)
def test_wrong_requests_are_told_what_is_wrong(
    small_server: str, body: bytes, headers: dict[str, str], query: str, status: int, code: str
) -> None:
    for content in (body, (body[start : start + 50_000] for start in range(0, len(body), 50_000))):  # Whole, in chunks.
        response = httpx.post(f"{small_server}/v1/predict{query}", content=content, headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
        assert len(response.json()["error"]["message"]) > 20


def test_headers_of_a_part_are_bound_whatever_the_parser_lets_through() -> None:
    callbacks = _Form(max_images=1).callbacks()
    callbacks["on_part_begin"]()
    callbacks["on_header_field"](b"x" * 5000, 0, 5000)
    with pytest.raises(ApiError, match="headers are too long"):
        callbacks["on_header_value"](b"x" * 5000, 0, 5000)


def test_unknown_addresses_and_methods_are_json_too(small_server: str) -> None:
    assert httpx.get(f"{small_server}/v1/nothing").json()["error"]["code"] == "not_found"
    assert httpx.get(f"{small_server}/v1/predict").json()["error"]["code"] == "method_not_allowed"


def raw_request(address: str, content_length: int, sent: bytes = b"") -> socket.socket:
    """A connection on which a predict request has begun."""
    parts = urlsplit(address)
    connection = socket.create_connection((parts.hostname, parts.port))
    head = f"POST /v1/predict HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    connection.sendall(f"{head}Content-Length: {content_length}\r\n\r\n".encode() + sent)
    return connection


def test_slow_uploads_end_and_full_servers_say_come_back() -> None:
    with serving(Settings(max_in_flight=2, upload_seconds=2)) as address:
        with raw_request(address, 1000, WHOLE[:20]) as first, raw_request(address, 1000) as second:
            wait_until(lambda: counter(address, "nevus_requests_in_flight") == 2)
            response = post(address, picture())
            assert (response.status_code, response.json()["error"]["code"]) == (503, "overloaded")
            assert response.headers["retry-after"] == "1"
            for connection in (first, second):
                assert connection.recv(12) == b"HTTP/1.1 408"
        wait_until(lambda: counter(address, "nevus_requests_in_flight") == 0)
        assert post(address, picture(), check=False).status_code == 200


def test_requests_that_are_cut_off_leave_nothing(server: str) -> None:
    before = counter(server, "nevus_requests_cut_off_total")
    raw_request(server, 1000, WHOLE[:30]).close()
    wait_until(lambda: counter(server, "nevus_requests_cut_off_total") == before + 1)
    assert counter(server, "nevus_requests_in_flight") == 0


def test_what_has_not_begun_of_a_request_that_is_cut_off_never_begins(
    lesions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, go_on, seen = nevus.load(MODEL), threading.Event(), []
    answer = predictor.answer

    def held(pixels, *more):  # type: ignore[no-untyped-def]
        seen.append(len(pixels))
        go_on.wait(5)
        return answer(pixels, *more)

    monkeypatch.setattr(predictor, "answer", held)
    monkeypatch.setattr(scoring, "available_processors", lambda: 1)
    body, _ = multipart(*[lesions[0].read_bytes()] * 32)
    with running(create_app(predictor, Settings())) as address:
        with raw_request(address, len(body), body):
            wait_until(lambda: len(seen) == 1)
        wait_until(lambda: counter(address, "nevus_requests_cut_off_total") == 1)
        assert counter(address, "nevus_requests_in_flight") == 0
        go_on.set()
        assert post(address, picture(), check=False).status_code == 200
    assert sum(seen) <= predictor.batch_size + 1


def test_images_are_never_written(server: str, lesions: list[Path]) -> None:
    opened: list[object] = []
    watching = threading.Event()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching.is_set() and event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                opened.append(path)

    sys.addaudithook(hook)
    large = encode(Image.effect_noise((1500, 1500), 90).convert("RGB"), "PNG")
    assert len(large) > 2_000_000
    watching.set()
    try:
        assert post(server, lesions[0].read_bytes(), large, large, check=False).status_code == 200
    finally:
        watching.clear()
    assert opened == []


def test_only_this_machine_its_own_page_and_holders_of_the_key_may_ask(server: str) -> None:
    assert httpx.get(f"{server}/", headers={"host": "evil.example"}).status_code == 421
    assert httpx.get(f"{server}/healthz", headers={"origin": "http://evil.example"}).status_code == 403
    response = httpx.get(f"{server}/healthz", headers={"origin": "http://["})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "cross_origin")
    assert httpx.get(f"{server}/healthz", headers={"origin": server}).status_code == 200
    with serving(Settings(api_key=KEY)) as address:
        assert httpx.get(f"{address}/healthz").status_code == 200
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {KEY}"}):
            response = httpx.get(f"{address}/v1/model", headers=headers)
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        assert httpx.get(f"{address}/v1/model", headers={"authorization": f"Bearer {KEY}"}).status_code == 200


def test_behind_a_proxy_that_keeps_the_host_its_page_may_ask() -> None:
    with serving(Settings(host="0.0.0.0", api_key=KEY)) as address:
        kept = {"host": "nevus.example", "origin": "https://nevus.example", "authorization": f"Bearer {KEY}"}
        assert httpx.get(f"{address}/v1/model", headers=kept).status_code == 200
        assert httpx.get(f"{address}/v1/model", headers={**kept, "host": "127.0.0.1:8000"}).status_code == 403


def test_a_server_for_other_machines_needs_a_key() -> None:
    assert api_key_for("127.0.0.1", without_key=False, environment={}) is None
    assert api_key_for("::1", without_key=False, environment={"NEVUS_API_KEY": KEY}) == KEY
    assert api_key_for("0.0.0.0", without_key=True, environment={}) is None
    with pytest.raises(ConfigError, match="Set NEVUS_API_KEY"):
        api_key_for("0.0.0.0", without_key=False, environment={})
    with pytest.raises(ConfigError, match="16 or more"):
        api_key_for("192.0.2.1", without_key=False, environment={"NEVUS_API_KEY": "short"})


def test_the_page_is_sent_whole_whatever_range_is_asked_for(server: str) -> None:
    whole = httpx.get(f"{server}/")
    for wanted in ("bogus", "bytes=999999999-", "bytes=0-3"):
        response = httpx.get(f"{server}/", headers={"range": wanted})
        assert (response.status_code, response.content) == (200, whole.content)


def test_status_may_be_asked_without_its_body(server: str) -> None:
    for address in ("/healthz", "/readyz"):
        response = httpx.head(f"{server}{address}")
        assert (response.status_code, response.content) == (200, b"")


def test_status_model_and_document(server: str) -> None:
    assert httpx.get(f"{server}/healthz").json() == httpx.get(f"{server}/readyz").json() == {"status": "ok"}
    model = httpx.get(f"{server}/v1/model").json()
    assert model["model"] == json.loads(nevus.load(MODEL).spec.to_json())
    assert model["limits"]["max_images"] == Settings().max_images
    PredictAnswer.model_validate(EXAMPLE_PREDICTION)
    document = httpx.get(f"{server}/openapi.json").json()
    assert set(document["paths"]) == {"/v1/predict", "/v1/model", "/healthz", "/readyz", "/metrics"}


def test_requests_made_from_the_document_find_no_fault(server: str, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    if not program.exists():
        pytest.skip("schemathesis is not installed")
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    options = ["--checks", checks, "--max-examples", "15", "--seed", "1", "--no-color"]
    done = subprocess.run(
        [program, "run", f"{server}/openapi.json", *options, "--phases", "examples,coverage,fuzzing"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_sigterm_lets_a_request_end(lesions: list[Path]) -> None:
    body, _ = multipart(lesions[0].read_bytes())
    command = [sys.executable, "-m", "nevus.cli.main", "serve", str(MODEL), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split()[3].rstrip("/")
        assert httpx.post(f"{address}/v1/predict", content=b"--other\r\n\r\n", headers=FORM).status_code == 400
        with raw_request(address, len(body), body[:100]) as connection:
            wait_until(lambda: counter(address, "nevus_requests_in_flight") == 1)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            connection.sendall(body[100:])
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
        assert process.wait(timeout=20) == -signal.SIGTERM
        assert process.stderr.read() == f"{DISCLAIMER}\n"  # No request is worth a line, a damaged one neither.


_STUCK = """
import logging, sys, time
from nevus import load
from nevus.serve.http import scoring
from nevus.serve.http.run import run_server
from nevus.serve.http.settings import Settings

logging.basicConfig(format="%(message)s", level=logging.INFO)
scoring.read = lambda *arguments, **options: time.sleep(60)
run_server(load(sys.argv[1]), Settings(port=0, drain_seconds=1))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_image_that_takes_for_ever_does_not_hold_the_process(number: signal.Signals) -> None:
    body, _ = multipart(picture())
    with subprocess.Popen([sys.executable, "-c", _STUCK, str(MODEL)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split()[3].rstrip("/")
        with raw_request(address, len(body), body) as connection, raw_request(address, 1000) as uploading:
            wait_until(lambda: counter(address, "nevus_requests_in_flight") == 2)
            time.sleep(0.2)
            process.send_signal(number)
            assert process.wait(timeout=20) == -number
            for one in (connection, uploading):
                answer = one.recv(10_000)
                assert answer.startswith(b"HTTP/1.1 503 ")
                assert b"nosniff" in answer
                assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "stopping"
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_in_use_is_named_with_what_to_do(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(MODEL), "--host", host, "--port", str(port)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"nevus: --port {port}: another program listens there at {host}. Choose another port")
    assert error.count("\n") == 1


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-name.invalid"])
def test_an_address_that_is_not_this_machines_is_named(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(MODEL), "--host", host, "--no-api-key"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"nevus: --host {host} --port 8000: ")
    assert "Expected an address of this machine" in error
    assert "Errno" not in error
