"""How well rules in words tell where a dictionary's features fire, beside controls.

    python benchmarks/interpretation.py runs/demo [--dictionary topk] [--json]

Rules are found on half of the store's documents and scored on the other half (`monosema interpret`). Controls: the rule
of another feature of the same dictionary; a dictionary with random directions in the place of the trained ones; and the
channels of the hook point themselves, both signs of each, in units of their standard deviation. Both have the same
activation function with the same k, the mean taken away, and the same text.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harvest import machine

from monosema.activations import Contexts, MixedContexts
from monosema.dictionaries import Dictionary, Spec, TopK
from monosema.features import FeatureStore, build_features
from monosema.features.descriptions import Description
from monosema.interpretation import Activity, Describer, Detection, Rule, load_text
from monosema.models import LoadedModel, read
from monosema.runs.data import HELDOUT_WINDOW
from monosema.runs.features import open_features

FIGURES = ("random", "hard", "precision", "recall", "f1")
GOOD = 0.8
SHOWN = 12
OF_CONTROLS = 1024  # features of a control, at most: they are alike


def of_channels(d: int, scale: torch.Tensor, mean: torch.Tensor, site: str, k: int) -> Dictionary:
    """The channels of a hook point, in units of their standard deviation, as features of either sign."""
    eye = torch.eye(d) / scale
    return _made(torch.cat([eye, -eye], dim=1), mean, site, k)


def of_random(d: int, width: int, mean: torch.Tensor, site: str, k: int) -> Dictionary:
    """Directions drawn from the sphere."""
    drawn = torch.randn(d, width, generator=torch.Generator().manual_seed(0))
    return _made(drawn / drawn.norm(dim=0), mean, site, k)


@torch.no_grad()
def _made(encoder: torch.Tensor, mean: torch.Tensor, site: str, k: int) -> Dictionary:
    d, width = encoder.shape
    made = Dictionary(Spec(d, d, width, (site,), (site,)), TopK(width, k)).eval()
    made.W_enc.copy_(encoder)
    made.W_dec.copy_(encoder.T / encoder.norm(dim=0)[:, None])
    made.b_enc.zero_()
    made.b_dec.copy_(mean)
    return made


def moments(model: LoadedModel, text: str, length: int, site: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each channel on some text."""
    contexts = Contexts(model.tokenizer, text, length)
    rows = torch.stack([next(contexts) for _ in range(64)])
    x = read(model, rows, [site])[site].flatten(0, 1).float()
    return x.mean(0), x.std(0)


def exchanged(describer: Describer, rules: dict[int, Rule]) -> list[float]:
    """The detection scores of each feature's rule on the feature before it, in an order drawn at random."""
    order = np.random.default_rng(0).permutation(list(rules)).tolist()
    others = {own: rules[other] for own, other in zip(order, [*order[1:], order[0]], strict=True)}
    found: list[Detection] = [describer.judge(others[feature], feature).detection for feature in sorted(order)]
    return [score for detection in found if (score := detection.balanced_accuracy) is not None]


def spread(values: Sequence[float | None]) -> dict[str, float]:
    """Quartiles and the share above 0.8."""
    known = np.array([value for value in values if value is not None])
    lower, median, upper = np.percentile(known, [25, 50, 75]).round(4).tolist()
    above = round(float((known > GOOD).mean()), 4)
    return {"n": len(known), "lower": lower, "median": median, "upper": upper, "above_0.8": above}


def summary(found: Sequence[Description], width: int) -> dict[str, Any]:
    """The distribution of each figure."""
    strongest = [d.figures["recall_by_quarter"][-1] for d in found]
    weakest = [d.figures["recall_by_quarter"][0] for d in found]
    return {
        "width": width,
        "described": len(found),
        "detection": spread([d.score for d in found]),
        **{name: spread([d.figures[name] for d in found]) for name in FIGURES},
        "train": spread([d.figures["train"] for d in found]),
        "recall_of_the_strongest_quarter": spread(strongest),
        "recall_of_the_weakest_quarter": spread(weakest),
        "without_a_rule": sum(d.text == "no rule tells" for d in found),
    }


def examples(found: Sequence[Description]) -> list[dict[str, Any]]:
    """Descriptions from the best to the worst, evenly spread."""
    order = sorted((d for d in found if d.score is not None), key=lambda d: -(d.score or 0))
    chosen = [order[i] for i in np.linspace(0, len(order) - 1, min(SHOWN, len(order))).round().astype(int)]
    return [{"feature": d.feature, "text": d.text, "score": d.score, "f1": d.figures["f1"]} for d in chosen]


def measure(folder: str, name: str | None) -> dict[str, Any]:
    (opened,) = open_features(folder, name=name, alone=True)
    store, model, spec = opened.store, opened.model, opened.dictionary.spec
    (site,), k, text = spec.reads, int(opened.dictionary.activation.options()["k"]), store.index.text
    assert isinstance(model, LoadedModel)
    assert text is not None
    describer = Describer(Activity(store, load_text(store)))
    begin = time.process_time()
    rules = {i: describer.rule(i) for i in range(spec.width) if describer.often_enough(i)}
    own = [describer.description(rule, feature) for feature, rule in rules.items()]
    seconds = round(time.process_time() - begin, 1)
    result = {"trained": summary(own, spec.width) | {"cpu_seconds": seconds}, "examples": examples(own)}
    result["rule_of_another_feature"] = spread(exchanged(describer, rules))
    mean, scale = moments(model, text, store.index.context, site)
    controls = {
        "random_directions": of_random(spec.d_in, spec.width, mean, site, k),
        "channels": of_channels(spec.d_in, scale, mean, site, k),
    }
    for control, dictionary in controls.items():
        with tempfile.TemporaryDirectory() as scratch:
            contexts = MixedContexts(Contexts(model.tokenizer, text, store.index.context), HELDOUT_WINDOW)
            place = Path(scratch) / "features"
            made: FeatureStore = build_features(
                dictionary, model, contexts, place, tokens=store.index.tokens, text=text, name=control
            )
            width = min(dictionary.spec.width, OF_CONTROLS)
            found = list(Describer(Activity(made, load_text(made))).descriptions(range(width)))
            result[control] = summary(found, width)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="runs/demo")
    parser.add_argument("--dictionary", default="topk")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    result = {"date": date.today().isoformat(), "machine": machine(), **measure(settings.folder, settings.dictionary)}
    if settings.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
        return
    for name in ("trained", "random_directions", "channels"):
        print(f"{name:24} {result[name]['detection']}")
    print(f"{'rule_of_another_feature':24} {result['rule_of_another_feature']}")
    for example in result["examples"]:
        print(f"{example['feature']:6} {example['score']:.2f} {example['text']}")


if __name__ == "__main__":
    main()
