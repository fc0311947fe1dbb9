"""Nothing in Nevus touches the network but `nevus data fetch`; a server of its own binds to this machine alone.

With `--weights imagenet` Keras does, which is asked for by that name.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "nevus"
# Modules that can open a connection, of the standard library and of those that are often next to it.
NETWORK = frozenset(
    "socket ssl http urllib ftplib smtplib poplib imaplib telnetlib xmlrpc socketserver asyncio webbrowser requests "
    "httpx aiohttp urllib3 pooch huggingface_hub kagglehub boto3 fsspec websockets".split()
)
# What no part of the network is, though its package is: parsing of addresses, names of statuses.
HARMLESS = frozenset({"urllib.parse", "http.HTTPStatus"})
FETCH = SOURCE / "data" / "fetch.py"


def network_imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {
            name
            for name in names
            if name.split(".")[0] in NETWORK and not any(name == ok or name.startswith(f"{ok}.") for ok in HARMLESS)
        }
    return found


def test_only_fetch_imports_what_could_open_a_connection() -> None:
    # A server of predictions listens on this machine and calls nobody.
    paths = [path for path in SOURCE.rglob("*.py") if path != FETCH and path.relative_to(SOURCE).parts[0] != "serve"]
    assert len(paths) > 80
    assert {path.relative_to(SOURCE).as_posix(): found for path in paths if (found := network_imports(path))} == {}
    clients = NETWORK - {"socket", "http", "asyncio", "socketserver", "webbrowser"}
    for path in (SOURCE / "serve").rglob("*.py"):
        assert not {name for name in network_imports(path) if name.split(".")[0] in clients}, path
    assert network_imports(FETCH)


# An audit hook hears of every connection and look-up of names that Python code of any package makes.
WITHOUT_NETWORK = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind"):
        raise SystemExit(f"touched the network: {event} {arguments}")

sys.addaudithook(refuse)
from nevus.cli.main import main
raise SystemExit(main(sys.argv[1:]))
"""


def run_without_network(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from nevus.data import phantom

    folder = tmp_path_factory.mktemp("phantoms") / "images"
    phantom.generate(folder, num_images=8, image_size=32, seed=1)
    return folder


def test_prediction_and_preparation_work_without_any_network(images: Path, tmp_path: Path) -> None:
    model = Path(__file__).parent / "serve" / "darkness.onnx"
    done = run_without_network("predict", model, images, "--json", "--no-check")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 8
    done = run_without_network("prepare", images, "--out", tmp_path / "dataset", "--image-size", "16")
    assert done.returncode == 0, done.stderr
    assert run_without_network("data", "list").returncode == 0


def test_the_hook_would_hear_of_it(tmp_path: Path) -> None:
    done = run_without_network("data", "fetch", "dermamnist-28", tmp_path, "--accept-licence")
    assert done.returncode == 1
    assert "touched the network: socket.getaddrinfo" in done.stderr
