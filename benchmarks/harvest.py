"""Tokens per second from text to shuffled batches, against a bare forward pass of the model cut at the same layer.

    python benchmarks/harvest.py [--tokens 131072] [--repeats 5] [--processor] [--json]

All sides run in turn in one process, and the medians of the repeats are compared. The bare pass is the base model with
its later layers removed, on contexts that were tokenised beforehand; a source starts from text. What tokenising takes
of the first source's time is listed, too.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from datetime import date
from itertools import islice
from pathlib import Path

import torch

from monosema.activations import Contexts, ModelSource, open_text, take_contexts
from monosema.models import LoadedModel, load_model

LAYERS = 3  # the deepest hook point is resid_post.2
SOURCES = {
    "one hook point": [f"resid_post.{LAYERS - 1}"],
    "all layers": [f"{kind}.{layer}" for layer in range(LAYERS) for kind in ("mlp_out", "resid_post")],
}
LENGTH, CONTEXTS_AT_ONCE, BATCH, BUFFER = 512, 16, 4096, 65_536
Side = Callable[[], int]  # one run; the number of tokens it read


def bare_forward(model: LoadedModel, tokens: int) -> Side:
    base = deepcopy(model.module.get_submodule("gpt_neox"))
    layers = base.get_submodule("layers")
    assert isinstance(layers, torch.nn.ModuleList)
    del layers[LAYERS:]
    ids = take_contexts(text_of(model), tokens).to(model.device)

    def run() -> int:
        with torch.inference_mode():
            for batch in ids.split(CONTEXTS_AT_ONCE):
                base(batch, use_cache=False)
        return ids.numel()

    return run


def source(model: LoadedModel, points: list[str], tokens: int) -> Side:
    harvest = ModelSource(
        model, text_of(model), points, batch_size=BATCH, buffer_rows=BUFFER, context_batch=CONTEXTS_AT_ONCE
    )

    def run() -> int:  # begins and ends just after the buffer was filled, so that it pays for what it counts
        before = harvest.tokens_read
        while harvest.tokens_read < before + tokens:
            next(harvest)
        return harvest.tokens_read - before

    return run


def tokenising(model: LoadedModel) -> Side:
    documents = list(islice(open_text("tiny:train"), 30))
    return lambda: sum(map(len, Contexts(model.tokenizer, documents, LENGTH)))


def text_of(model: LoadedModel) -> Contexts:
    return Contexts(model.tokenizer, "tiny:train", LENGTH, repeat=True)


def rate(side: Side, clock: Callable[[], float]) -> float:
    """Tokens per second of one run."""
    start = clock()
    tokens = side()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return tokens / (clock() - start)


def machine() -> str:
    """The processor, as Linux names it, and how many cores of it there are."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    return f"{os.cpu_count()} × {names[0].split(':')[1].strip() if names else platform.machine()}"


def measured_on(device: str) -> dict[str, str]:
    """Today's date, the processor, and the GPU if that is where it was measured."""
    found = {"date": date.today().isoformat(), "machine": machine()}
    return found if device == "cpu" else found | {"gpu": torch.cuda.get_device_name(device)}


def measure(tokens: int, repeats: int, clock: Callable[[], float]) -> dict[str, object]:
    model = load_model("tiny")
    sides = {"bare forward": bare_forward(model, tokens)}
    sides |= {name: source(model, points, tokens) for name, points in SOURCES.items()}
    sides["tokenising alone"] = tokenising(model)
    for side in sides.values():
        side()
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            rates[name].append(rate(side, clock))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "date": date.today().isoformat(),
        "machine": machine(),
        "device": str(model.device),
        "precision": str(model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "time": "processor" if clock is time.process_time else "clock",
        "tokens_per_second": medians,
        "of_bare_forward": {name: medians[name] / medians["bare forward"] for name in SOURCES},
        "tokenising_share": medians["one hook point"] / medians["tokenising alone"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=131_072, help="tokens in one run of one side")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--processor", action="store_true", help="one thread, and processor time")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    if settings.processor:
        torch.set_num_threads(1)
    result = measure(settings.tokens, settings.repeats, time.process_time if settings.processor else time.perf_counter)
    if settings.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{result['device']}, {result['precision']}, {result['threads']} threads; medians of {settings.repeats}")
    shares = result["of_bare_forward"]
    assert isinstance(shares, dict)
    assert isinstance(result["tokens_per_second"], dict)
    for name, value in result["tokens_per_second"].items():
        share = f"{shares[name]:8.1%} of the bare forward" if name in shares else ""
        print(f"{name:18}{value:12,.0f} tokens/s{share}")
    print(f"tokenising takes {result['tokenising_share']:.1%} of the time of the source of one hook point")


if __name__ == "__main__":
    main()
