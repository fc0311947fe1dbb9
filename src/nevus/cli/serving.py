"""The command `serve`: the HTTP API and the page."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from nevus.core import shipped

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_LIMITS = {
    "max_bytes": "of a request's body",
    "max_pixels": "width times height of an image",
    "max_images": "in a request",
    "max_in_flight": "requests worked on at a time",
}


def add_serve(commands: Subparsers) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "serve",
        help="HTTP API and page for a model",
        description="Serve a model on this machine: the page at /, the API at /v1/predict, described in /openapi.json. "
        "Images are kept in memory only, and no request is logged. SIGINT or SIGTERM lets requests in flight end.",
    )
    parser.add_argument(
        "model",
        nargs="?",
        default=shipped.DEFAULT,
        metavar="name_or_file",
        help=f"a shipped model, or a model.onnx that 'nevus export' wrote (default: {shipped.DEFAULT})",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="port, 0 for any free one (default: 8000)")
    parser.add_argument(
        "--no-api-key",
        action="store_true",
        help="serve without a key, on other addresses than this machine's too, where NEVUS_API_KEY is otherwise needed",
    )
    for name, text in _LIMITS.items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=int, metavar="NUMBER", default=argparse.SUPPRESS, help=f"limit: {text}")
    parser.set_defaults(command=serve)
    return parser


def serve(arguments: argparse.Namespace) -> int:
    from nevus.serve.http.run import run_server
    from nevus.serve.http.settings import Settings, api_key_for
    from nevus.serve.predictor import load

    key = api_key_for(arguments.host, without_key=arguments.no_api_key)
    limits = {name: value for name, value in vars(arguments).items() if name in _LIMITS}
    settings = Settings(arguments.host, arguments.port, api_key=key, **limits)
    return 0 if run_server(load(arguments.model), settings) else 1


COMMANDS = (add_serve,)
