"""The commands `serve` and `web`: the HTTP API with its page, and the page alone as a static folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nevus.cli.command import Command
from nevus.cli.inference import add_model_argument
from nevus.core import shipped

_LIMITS = {
    "max_bytes": "bytes of a request's body",
    "max_pixels": "width times height of an image",
    "max_images": "images in a request",
    "max_in_flight": "requests processed at the same time",
}


def _add_serve(parser: argparse.ArgumentParser) -> None:
    add_model_argument(parser)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address or name to listen on (default: 127.0.0.1, this machine only); of a name that has both, such as "
        "localhost, the IPv4 address is used",
    )
    parser.add_argument("--port", type=int, default=8000, help="port, 0 for any free one (default: 8000)")
    parser.add_argument(
        "--no-api-key",
        action="store_true",
        help="do not require an API key (NEVUS_API_KEY), even on a non-loopback address",
    )
    parser.add_argument(
        "--cors-origin",
        dest="cors_origins",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a site whose pages may send requests, such as https://clinic.example; may be given several times",
    )
    for name, text in _LIMITS.items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=int, metavar="NUMBER", default=argparse.SUPPRESS, help=f"limit: {text}")


def _add_web(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="name_or_file", help="a shipped model, or a model.onnx")
    parser.add_argument("directory", type=Path, help="a new folder")
    parser.add_argument(
        "--runtime",
        type=Path,
        metavar="FOLDER",
        default=Path("node_modules/onnxruntime-web"),
        help="the npm package onnxruntime-web, which 'npm install onnxruntime-web' installs (default: %(default)s)",
    )


def serve(arguments: argparse.Namespace) -> int:
    """Serves until it is stopped."""
    from nevus.serve.golden_check import check_golden
    from nevus.serve.http.run import run_server
    from nevus.serve.http.settings import Settings, api_key_for
    from nevus.serve.predictor import load

    key = api_key_for(arguments.host, without_key=arguments.no_api_key)
    limits = {name: value for name, value in vars(arguments).items() if name in _LIMITS}
    origins = tuple(arguments.cors_origins)
    settings = Settings(arguments.host, arguments.port, api_key=key, cors_origins=origins, **limits)
    predictor = load(arguments.model)
    check_golden(predictor)
    run_server(predictor, settings)
    return 0


def web(arguments: argparse.Namespace) -> int:
    """Writes the folder of the page."""
    from nevus.serve.web import write_web_folder

    spec = write_web_folder(shipped.find_model(arguments.model), arguments.directory, arguments.runtime)
    if spec.clinical:
        names = ", ".join(variable.name for variable in spec.clinical)
        print(
            f"nevus: the model also takes {names}, but ONNX Runtime for browsers has no optional inputs: "
            "the page uses only the image.",
            file=sys.stderr,
        )
    print(f"{arguments.directory}\nView it with: python -m http.server -d {arguments.directory} --bind 127.0.0.1")
    return 0


COMMANDS = (
    Command(
        "serve",
        "HTTP API and page for a model",
        "Serve a model on this machine: the page at /, the API at /v1/predict, described in /openapi.json. "
        "Images are kept in memory only, and no request is logged. On SIGINT or SIGTERM, running "
        "requests are finished.",
        serve,
        _add_serve,
    ),
    Command(
        "web",
        "a static folder with the page, where the model runs in the browser",
        "Write a folder for any static server: the page of 'nevus serve', the model, and ONNX Runtime for "
        "the browser. No image leaves the user's machine, and the page works offline after the first visit.",
        web,
        _add_web,
    ),
)
