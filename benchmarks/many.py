"""Seconds of a run of many dictionaries on one stream, against the harvest once plus that many training steps.

    python benchmarks/many.py [--tokens 16384] [--width 4096] [--repeats 9] [--json]

The embedded model reads text, and TopK dictionaries that differ in k learn from each batch. All sides run in turn in
one process: the harvest alone, with one dictionary, and with eight; and the steps of the eight alone, on batches that
were read before. The bound is the first plus the last. Medians of the repeats, and how the share of the bound varies
among them. Seconds of processor time are given, too: others on a shared machine lengthen them less than the clock's.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date

import torch
from harvest import CONTEXTS_AT_ONCE, machine, text_of

from monosema.activations import ModelSource
from monosema.dictionaries import Spec
from monosema.models import load_model
from monosema.recipes.topk import TopKRecipe
from monosema.training import Learner

POINT, BATCH, BUFFER = "resid_post.2", 512, 32_768
KS, ONE = (8, 12, 16, 24, 32, 48, 64, 96), 32
HARVEST, WITH_ONE, WITH_ALL, STEPS = "harvest", "harvest + 1", "harvest + 8", "8 training steps"
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
Seconds = dict[str, float]  # by clock
Run = Callable[[], int]  # what is timed; the number of tokens it took
Side = Callable[[], Run]  # prepares one run


def learners(source: ModelSource, ks: tuple[int, ...], width: int, steps: int) -> dict[str, Learner]:
    spec, sample = Spec.autoencoder(POINT, source.widths[POINT], width), source.sample(16_384)
    return {f"k{k}": Learner(spec, TopKRecipe(k=k), sample, steps=steps, batch_size=BATCH, autocast=True) for k in ks}


def stretch(source: ModelSource, tokens: int) -> Iterator[dict[str, torch.Tensor]]:
    """Batches from one filling of the buffer to the next, so that a run pays for what it counts."""
    before = source.tokens_read
    while source.tokens_read < before + tokens:
        yield next(source)


def step(trained: Mapping[str, Learner], batches: Iterable[dict[str, torch.Tensor]]) -> int:
    count = 0
    for batch in batches:
        for learner in trained.values():
            learner.step(batch)
        count += 1
    return count * BATCH


def streamed(source: ModelSource, trained: Mapping[str, Learner], tokens: int) -> Side:
    return lambda: lambda: step(trained, stretch(source, tokens))


def in_memory(source: ModelSource, trained: Mapping[str, Learner], tokens: int) -> Side:
    def prepare() -> Run:  # new batches each time: what was seen before would train other features, and cost otherwise
        batches = [{point: x.clone() for point, x in batch.items()} for batch in stretch(source, tokens)]
        return lambda: step(trained, batches)

    return prepare


def seconds(side: Side, tokens: int) -> Seconds:
    """What `tokens` tokens take, by each clock."""
    run = side()
    start = {name: clock() for name, clock in CLOCKS.items()}
    done = run()
    return {name: (clock() - start[name]) * tokens / done for name, clock in CLOCKS.items()}


def sides(tokens: int, width: int, repeats: int) -> dict[str, Side]:
    model = load_model("tiny")
    source = ModelSource(
        model, text_of(model), [POINT], batch_size=BATCH, buffer_rows=BUFFER, context_batch=CONTEXTS_AT_ONCE
    )
    steps = 2 * (repeats + 1) * tokens // BATCH  # of the schedule; more than a side takes
    every = {name: learners(source, ks, width, steps) for name, ks in ((WITH_ONE, (ONE,)), (WITH_ALL, KS), (STEPS, KS))}
    return {
        HARVEST: streamed(source, {}, tokens),
        WITH_ONE: streamed(source, every[WITH_ONE], tokens),
        WITH_ALL: streamed(source, every[WITH_ALL], tokens),
        STEPS: in_memory(source, every[STEPS], tokens),
    }


def measure(settings: argparse.Namespace) -> dict[str, object]:
    found = sides(settings.tokens, settings.width, settings.repeats)
    for side in found.values():
        seconds(side, settings.tokens)
    times: dict[str, list[Seconds]] = {name: [] for name in found}
    for repeat in range(settings.repeats):
        order = list(found) if repeat % 2 else list(reversed(found))  # so that a drift of the machine cancels out
        for name in order:
            times[name].append(seconds(found[name], settings.tokens))
    medians = {
        clock: {name: statistics.median(run[clock] for run in runs) for name, runs in times.items()} for clock in CLOCKS
    }
    return {
        "date": date.today().isoformat(),
        "machine": machine(),
        "threads": torch.get_num_threads(),
        **{key: getattr(settings, key) for key in ("tokens", "width", "repeats")},
        "batch": BATCH,
        "ks": KS,
        "harvest_tokens_per_second": round(settings.tokens / medians["wall"][HARVEST]),
        "seconds": {clock: {name: round(value, 3) for name, value in of.items()} for clock, of in medians.items()},
        "of_bound": {clock: spread(times, clock) for clock in CLOCKS},
    }


def spread(times: Mapping[str, list[Seconds]], clock: str) -> dict[str, float]:
    """What share of its bound the run of eight took, repeat by repeat: the quartiles."""
    rounds = zip(times[WITH_ALL], times[HARVEST], times[STEPS], strict=True)
    shares = [run[clock] / (harvest[clock] + steps[clock]) for run, harvest, steps in rounds]
    low, middle, high = statistics.quantiles(shares, n=4, method="inclusive") if len(shares) > 1 else shares * 3
    return {"median": round(middle, 3), "quarter below": round(low, 3), "quarter above": round(high, 3)}


def show(result: dict[str, object]) -> None:
    of, share = result["seconds"], result["of_bound"]
    assert isinstance(of, dict)
    assert isinstance(share, dict)
    print(f"{result['machine']}, {result['threads']} threads, width {result['width']}; medians of {result['repeats']}")
    print(f"{'seconds for ' + format(result['tokens'], ',') + ' tokens':32}{'clock':>10}{'processor':>12}")
    for name in of["wall"]:
        print(f"{name:32}{of['wall'][name]:10.2f}{of['processor'][name]:12.2f}")
    for name in share["wall"]:
        print(f"{'of harvest + 8 steps, ' + name:32}{share['wall'][name]:10.1%}{share['processor'][name]:12.1%}")
    print(f"harvest alone: {result['harvest_tokens_per_second']:,} tokens/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"tokens": 16_384, "width": 4096, "repeats": 9}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    result = measure(settings)
    if settings.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        show(result)


if __name__ == "__main__":
    main()
