"""How `nevus serve` bears load, and what bad requests do to it.

    python benchmarks/serve_load.py MODEL.onnx [--images FOLDER] [--requests 1200] [--memory-requests 10000]
                                    [--malformed 1000] [--json FILE]

Starts the server as a process of its own on 127.0.0.1 and asks it from this one, over kept connections, with
the next request only after the last answer: every loop is bounded.

- Images a second with 1, 8 and 64 clients, one image a request, and with 8 clients that send 16 in each, against
  the model in process on the same bytes (decoding and scoring), measured in turns; times of the median and the slowest
  hundredth request. In process is `Predictor.predict_many`, which decodes while it scores, and for one client alone,
  which never has two images at work, `Predictor.predict` of one after the other. The bar is .6 for each.
- The server's memory over many requests.
- Malformed requests (the corpus of tests/bad_inputs.py, damaged and random bodies, decompression bombs, uploads
  that are slow or cut off) while a good client keeps asking: no status 500, no good answer lost or changed.

FOLDER is melanoma10000/train of NEVUS_DATA unless given. Exit status 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nevus.core.files import write_json
from nevus.serve.image_files import find_images
from nevus.serve.predictor import load

# Clients, and images in each of their requests.
LOADS = ((1, 1), (8, 1), (64, 1), (8, 16))
ROUNDS = 5
LEAST_SHARE = 0.6
SEED = 11
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Server:
    """A server at work: its port and process."""

    port: int
    pid: int

    @property
    def megabytes(self) -> float:
        """Memory that is resident."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@contextmanager
def serving(model: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "nevus.cli.main", "serve", str(model), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        try:
            yield Server(int(line.split(":")[2].split("/")[0]), process.pid)
        finally:
            process.terminate()


def request_of(*contents: bytes, query: str = "?check=false") -> bytes:
    parts = [
        b'--bound\r\nContent-Disposition: form-data; name="images"; filename="x.jpg"\r\n\r\n' + content + b"\r\n"
        for content in contents
    ]
    return framed(b"".join(parts) + b"--bound--\r\n", query=query)


def framed(body: bytes, kind: str = "multipart/form-data; boundary=bound", query: str = "?check=false") -> bytes:
    fields = f"Host: {HOST}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"POST /v1/predict{query} HTTP/1.1\r\n{fields}".encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of an answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


# Speed and memory ----------------------------------------------------------------------------------------------------


async def ask_all(
    port: int, requests: list[bytes], num_clients: int, count: int, expected: tuple[int, ...] = (200,)
) -> list[float]:
    """Seconds of each of `count` requests, shared by the clients; each must be answered with an expected status."""
    numbers = iter(range(count))
    seconds: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        for number in numbers:
            start = time.perf_counter()
            writer.write(requests[number % len(requests)])
            status, _ = await answer(reader)
            assert status in expected, status
            seconds.append(time.perf_counter() - start)
        writer.close()

    await asyncio.gather(*(client() for _ in range(num_clients)))
    return seconds


def speed(server: Server, model: Path, contents: list[bytes], count: int) -> dict[str, Any]:
    predictor = load(model)
    requests = {
        size: [request_of(*contents[start : start + size]) for start in range(0, len(contents), size)]
        for size in {size for _, size in LOADS}
    }
    list(predictor.predict_many(contents[:32], check=False))
    asyncio.run(ask_all(server.port, requests[1], 8, 64))
    in_process: dict[str, list[float]] = {"in_process": [], "one_by_one": []}
    rounds: dict[tuple[int, int], list[dict[str, float]]] = {kind: [] for kind in LOADS}
    for _ in range(ROUNDS):
        start = time.perf_counter()
        list(predictor.predict_many(itertools.islice(itertools.cycle(contents), count), check=False))
        in_process["in_process"].append(count / (time.perf_counter() - start))
        start = time.perf_counter()
        for content in itertools.islice(itertools.cycle(contents), count):
            predictor.predict(content, check=False)
        in_process["one_by_one"].append(count / (time.perf_counter() - start))
        for clients, size in LOADS:
            start = time.perf_counter()
            times = sorted(asyncio.run(ask_all(server.port, requests[size], clients, count // size)))
            rounds[clients, size].append(
                {
                    "images_per_second": size * len(times) / (time.perf_counter() - start),
                    "p50_ms": 1000 * statistics.median(times),
                    "p99_ms": 1000 * times[int(0.99 * len(times))],
                }
            )
    own = {name: statistics.median(several) for name, several in in_process.items()}
    result: dict[str, Any] = {**own, "loads": []}
    print(f"in process {own['in_process']:.0f} images/s, one by one {own['one_by_one']:.0f}", flush=True)
    for (clients, size), several in rounds.items():
        figures = {name: statistics.median(one[name] for one in several) for name in several[0]}
        beside = "one_by_one" if clients == size == 1 else "in_process"
        figures["share"] = figures["images_per_second"] / own[beside]
        result["loads"].append({"clients": clients, "images_in_a_request": size, "against": beside, **figures})
        print(
            f"{f'{clients} clients, {size} images a request':<32} {figures['images_per_second']:6.0f} images/s, "
            f"{figures['share']:.2f} of {beside.replace('_', ' ')}; "
            f"p50 {figures['p50_ms']:.0f} ms, p99 {figures['p99_ms']:.0f} ms",
            flush=True,
        )
    return result


def memory(server: Server, contents: list[bytes], count: int) -> list[float]:
    """Megabytes of the server before, and after each tenth of the requests."""
    requests = [request_of(content, query="?heatmap=true") for content in contents]
    megabytes = [server.megabytes]
    for _ in range(10):
        # With the check on, a few real images are refused.
        asyncio.run(ask_all(server.port, requests, 16, count // 10, expected=(200, 422)))
        megabytes.append(server.megabytes)
    print(
        f"memory over {count:,} requests with heatmaps: {', '.join(f'{one:.0f}' for one in megabytes)} MB", flush=True
    )
    return megabytes


# Malformed requests --------------------------------------------------------------------------------------------------


def malformed_requests(good: bytes, count: int) -> Iterator[bytes]:
    """Bytes of requests that are wrong in one way or another; those of half the kinds are random."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from bad_inputs import bad_files, png

    chance = random.Random(SEED)
    files = [content for content, _ in bad_files().values()]
    # Within the limit of pixels, 60 million of them from a few kilobytes.
    files.append(png(10_000, 6_000, 1, 0, (b"\0" + bytes(1250)) * 6_000))
    body = good.split(b"\r\n\r\n", 1)[1]
    kinds = ["application/json", "multipart/form-data", "multipart/form-data; boundary=", "text/plain", "image/jpeg"]
    for number in range(count):
        kind = number % 6
        if kind == 0:
            yield request_of(files[number // 6 % len(files)])
        elif kind == 1:  # A good body with some bytes changed.
            changed = bytearray(body)
            for _ in range(chance.randint(1, 60)):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            yield framed(bytes(changed))
        elif kind == 2:  # Cut off, with a length that is true.
            yield framed(body[: chance.randrange(len(body))])
        elif kind == 3:
            yield framed(chance.randbytes(chance.randrange(2000)), chance.choice(kinds))
        elif kind == 4:
            query = chance.choice(
                ["prevalence=0", "prevalence=x", "operating_point=", "heatmap=2", "check=%00", "prevalence=1e999"]
            )
            yield framed(body, query=f"?{query}&operating_point=none")
        else:
            yield request_of(*[chance.randbytes(20)] * chance.randint(33, 80))


async def send_bad(port: int, content: bytes, way: str) -> str:
    """Sends one, whole, slowly or only in part; what came of it."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        if way == "cut off":
            writer.write(content[: 2 * len(content) // 3])
            await writer.drain()
            return way
        for start in range(0, len(content), len(content) // 8 + 1) if way == "slow" else [0]:
            writer.write(content[start : start + len(content) // 8 + 1] if way == "slow" else content)
            await writer.drain()
            await asyncio.sleep(0.05 * (way == "slow"))
        status, _ = await asyncio.wait_for(answer(reader), 60)
        return str(status)
    except (ConnectionError, asyncio.IncompleteReadError):
        return "closed"
    finally:
        writer.close()


async def bear(port: int, good: bytes, bad: list[bytes]) -> tuple[Counter[str], int]:
    """Sends all bad ones, eight at a time, while a good client asks on; their outcomes, and how many good answers."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(good)
    status, expected = await answer(reader)
    assert status == 200
    waiting = iter(enumerate(bad))
    outcomes: Counter[str] = Counter()
    num_good = 0

    async def sender() -> None:
        for number, content in waiting:
            way = "cut off" if number % 7 == 3 else "slow" if number % 11 == 5 else "whole"
            outcomes[await send_bad(port, content, way)] += 1

    senders = [asyncio.create_task(sender()) for _ in range(8)]
    while not all(task.done() for task in senders):
        writer.write(good)
        status, content = await answer(reader)
        assert status == 200, status
        risk, before = (json.loads(one)["predictions"][0]["risk"] for one in (content, expected))
        # Batches of other sizes may differ in the last bit.
        assert abs(risk - before) < 1e-6
        num_good += 1
    await asyncio.gather(*senders)
    writer.close()
    return outcomes, num_good


def malformed(server: Server, content: bytes, count: int) -> dict[str, Any]:
    good = request_of(content)
    bad = list(malformed_requests(good, count))
    asyncio.run(bear(server.port, good, bad[:200]))
    before = server.megabytes
    outcomes, num_good = asyncio.run(bear(server.port, good, bad))
    after = server.megabytes
    print(
        f"{count:,} malformed requests: {dict(sorted(outcomes.items()))}; "
        f"{num_good:,} good ones beside them, all answered"
    )
    print(f"memory before and after them: {before:.0f} and {after:.0f} MB")
    return {"outcomes": dict(outcomes), "good_answers": num_good, "megabytes": [before, after]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--images", type=Path, help="folder of images")
    parser.add_argument("--requests", type=int, default=1200, help="of each round")
    parser.add_argument("--memory-requests", type=int, default=10_000)
    parser.add_argument("--malformed", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    folder = arguments.images or Path(os.environ.get("NEVUS_DATA", "../shared/data")) / "melanoma10000" / "train"
    contents = [path.read_bytes() for path in itertools.islice(find_images([folder]), 192)]
    result: dict[str, Any] = {}
    with serving(arguments.model) as server:
        if arguments.requests:
            result["speed"] = speed(server, arguments.model, contents, arguments.requests)
        if arguments.memory_requests:
            result["megabytes"] = memory(server, contents, arguments.memory_requests)
        if arguments.malformed:
            result["malformed"] = malformed(server, contents[0], arguments.malformed)
    if arguments.json:
        write_json(arguments.json, result)
    missed = [
        name
        for name, bad in {
            f"under {LEAST_SHARE} of the speed in process": any(
                one["share"] < LEAST_SHARE for one in result.get("speed", {}).get("loads", [])
            ),
            "a status of 500 or over": any(
                status.isdigit() and int(status) >= 500 and status != "503"
                for status in result.get("malformed", {}).get("outcomes", {})
            ),
        }.items()
        if bad
    ]
    print("\n".join(f"missed: {name}" for name in missed) or "no bar missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
