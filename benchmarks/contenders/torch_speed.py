"""A network in PyTorch on the processor, in the fastest of its ways.

    torch_speed.py MODEL.keras train BATCH_SIZE    images a second, augmentation included
    torch_speed.py MODEL.keras memory              images a second, pixels in memory to risks
    torch_speed.py MODEL.keras files FOLDER        the same from a folder of JPEGs

The ways: as it comes, channels last, compiled as well, and with bfloat16 where the processor has it. Each is
tried, and the fastest is printed with its name.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch_network import TorchNetwork

from nevus.core.machine import available_processors
from nevus.core.preprocess import load_pixels

Score = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

BATCH_SIZE = 32
SECONDS = 3.0


def ways() -> Iterator[tuple[str, bool, bool, torch.dtype]]:
    """Name, whether channels last, whether compiled, and the type of the arithmetic."""
    yield "as it comes", False, False, torch.float32
    yield "channels last", True, False, torch.float32
    yield "compiled", True, True, torch.float32
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text().split() if cpuinfo.exists() else []
    if "avx512_bf16" in flags or "amx_bf16" in flags:
        yield "compiled, bfloat16", True, True, torch.bfloat16


def rate(step: Callable[[], int]) -> float:
    """Images a second of a step that returns its number of images, for some seconds after three steps to warm up."""
    for _ in range(3):
        step()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        done += step()
    return done / (time.perf_counter() - start)


def training_step(
    network: torch.nn.Module, last: bool, compiled: bool, dtype: torch.dtype, size: int, batch: int
) -> Callable[[], int]:
    """A step on random pixels: one affine warp for rotation, zoom and flips, forward, backward, AdamW."""
    pixels = torch.randint(0, 256, (4 * batch, 3, size, size), dtype=torch.uint8)
    labels = torch.randint(0, 2, (4 * batch, 1)).float()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def loss_of(images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.binary_cross_entropy_with_logits(network(images), targets)

    loss_of = torch.compile(loss_of) if compiled else loss_of

    def step() -> int:
        chosen = torch.randint(0, len(pixels), (batch,))
        angles, scales = (torch.rand(batch) - 0.5) * 0.4 * torch.pi, 0.9 + 0.2 * torch.rand(batch)
        flips = torch.randint(0, 2, (2, batch)) * 2 - 1
        cosine, sine, zero = torch.cos(angles) * scales, torch.sin(angles) * scales, torch.zeros(batch)
        matrices = torch.stack([cosine, -sine, zero, sine, cosine, zero], 1).reshape(-1, 2, 3)
        matrices = matrices * flips.T[:, :, None]
        grid = functional.affine_grid(matrices, [batch, 3, size, size], align_corners=False)
        images = pixels[chosen].float()
        images = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        if last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype) if dtype != torch.float32 else contextlib.nullcontext():
            loss = loss_of(images, labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return batch

    return step


def scorer(network: torch.nn.Module, last: bool, compiled: bool, dtype: torch.dtype) -> Score:
    """Maps uint8 [N, S, S, 3] to risks."""
    network.eval()
    run = torch.compile(network) if compiled else network

    def score(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
            images = images.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
            return torch.sigmoid(run(images)).float().numpy()

    return score


def from_files(score: Score, paths: list[Path], size: int) -> float:
    """Images a second, decoded ahead by a thread a core, as a data loader does."""
    score(np.zeros((BATCH_SIZE, size, size, 3), np.uint8))
    if len(paths) % BATCH_SIZE:
        score(np.zeros((len(paths) % BATCH_SIZE, size, size, 3), np.uint8))
    start = time.perf_counter()
    with ThreadPoolExecutor(available_processors()) as pool:
        images = pool.map(lambda path: load_pixels(path, size), paths)
        while batch := list(itertools.islice(images, BATCH_SIZE)):
            score(np.stack(batch))
    return len(paths) / (time.perf_counter() - start)


def measure(way: tuple[str, bool, bool, torch.dtype], path: Path, task: str, words: list[str]) -> float:
    _, last, compiled, dtype = way
    network = TorchNetwork(path)
    size = network.image_size
    if last:
        network = network.to(memory_format=torch.channels_last)
    if task == "train":
        return rate(training_step(network, last, compiled, dtype, size, int(words[0])))
    score = scorer(network, last, compiled, dtype)
    if task == "memory":
        pixels = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, size, size, 3), dtype=np.uint8)
        return rate(partial(lambda batch: len(score(batch)), pixels))
    return from_files(score, sorted(Path(words[0]).rglob("*.jpg")), size)


def main() -> None:
    torch.set_num_threads(available_processors())
    path, task, *words = sys.argv[1:]
    figures = {}
    for way in ways():
        try:
            figures[way[0]] = measure(way, Path(path), task, words)
        except Exception as problem:
            # torch.compile needs a C++ compiler; the other ways do not.
            print(f"{way[0]}: {type(problem).__name__}: {str(problem)[:200]}", file=sys.stderr)
            if not figures:
                raise
    best = max(figures, key=figures.__getitem__)
    print(json.dumps({"images_per_second": figures[best], "way": best, "all": figures}))


if __name__ == "__main__":
    main()
