"""How far an MLP linearised at one token tells what a feature does at others, on the embedded model.

    python benchmarks/linearise.py [--run FOLDER] [--features 50] [--seed 0] [--json]

Dictionaries of layer 1's MLP output and a transcoder of layer 1's MLP are trained, or taken from the run at FOLDER.
Features of middling density that fire on at least 20 held-out tokens are drawn. Of each, a direction is found at one
token, and correlated with what it stands for at all other held-out tokens on which the feature fires. The directions
of the output's features go through the MLP (and through the norm, its scale held fixed):

  strongest     gradient at the token on which the feature is strongest
  everywhere    the same, tested at all held-out tokens, whether the feature fires or not
  median        gradient at a token on which it is of median strength
  mean          mean gradient at 16 tokens on which it fires, drawn at random, and tested on the rest
  elsewhere     gradient at a token, drawn at random, on which it does not fire
  transcoder    at the strongest token, through the transcoder's active features in place of the MLP
  norm          that of the strongest token through the norm, at resid_mid.1
  of transcoder a transcoder's own feature, whose encoder reads mlp_in.1, through the norm at the strongest token
"""

import argparse
import json
import math
import statistics
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from harvest import machine
from torch import Tensor

from monosema import config
from monosema.activations.filters import not_special
from monosema.analysis import middling_features
from monosema.analysis.feeding import through_dictionary
from monosema.analysis.linearise import Agreement, agreement, feature_direction, through_mlp, through_norm
from monosema.analysis.pullback import Direction
from monosema.dictionaries import Dictionary
from monosema.models import LoadedModel, read
from monosema.runs import RunConfig, run
from monosema.runs.evaluate import open_folder

MLP, TRANSCODER, LEAST, AVERAGED = "mlp-1", "transcoder-1", 20, 16
POINTS = ("resid_mid.1", "mlp_in.1", "mlp_out.1")
RUN = f"""
model: tiny
text: tiny:train
tokens: 500_000
dictionaries:
  - {{name: {MLP}, site: mlp_out.1, width: 2048, recipe: {{name: topk, k: 32}}}}
  - {{name: transcoder-0, site: mlp_in.0, target: mlp_out.0, width: 2048, recipe: {{name: topk, k: 32}}}}
  - {{name: {TRANSCODER}, site: mlp_in.1, target: mlp_out.1, width: 2048, recipe: {{name: topk, k: 32}}}}
"""


@dataclass(frozen=True)
class Read:
    """Held-out contexts, the activations at their tokens, and which tokens count."""

    model: LoadedModel
    contexts: Tensor
    rows: dict[str, Tensor]
    counts: Tensor

    def place(self, token: int) -> tuple[Tensor, int]:
        """The context of a token, and its position there."""
        row, position = divmod(token, self.contexts.shape[1])
        return self.contexts[row], position

    def direction(self, dictionary: Dictionary, token: int, feature: int) -> tuple[Tensor, Direction]:
        """The context of a token, and what a feature reads there."""
        ids, position = self.place(token)
        return ids, feature_direction(dictionary, self.model, ids, position, feature)[1]


def opened(folder: Path) -> tuple[dict[str, Dictionary], Read]:
    dictionaries, heldout = open_folder(folder, device="cpu")
    model, contexts = heldout.model, heldout.contexts
    assert isinstance(model, LoadedModel)
    assert contexts is not None
    model.module.float()  # gradients of 16 bits are coarse
    parts = [read(model, ids, POINTS) for ids in contexts.split(8)]
    rows = {point: torch.cat([part[point].flatten(0, 1) for part in parts]) for point in POINTS}
    counts = not_special(contexts, model.special_ids).flatten()
    return {name: made.eval() for name, made in dictionaries.items()}, Read(model, contexts, rows, counts)


@torch.no_grad()
def codes_of(dictionary: Dictionary, data: Read) -> Tensor:
    x = data.rows[dictionary.spec.reads[0]]
    return torch.cat([dictionary.encode(part) for part in x.split(4096)]) * data.counts[:, None]


def drawn(codes: Tensor, features: int, seed: int) -> list[int]:
    fires = (codes != 0).sum(0)
    return middling_features((fires / len(codes)).where(fires >= LEAST, 0), features, seed)


def tested(data: Read, origin: Direction, found: Direction, tokens: Tensor) -> Agreement:
    return agreement(origin, found, {point: rows[tokens] for point, rows in data.rows.items()})


def of_mlp(dictionaries: dict[str, Dictionary], data: Read, feature: int, own: Tensor, seed: int) -> dict[str, Any]:
    """The agreement of every way, for one feature of the MLP's output; `own` are its codes."""
    dictionary, generator = dictionaries[MLP], torch.Generator().manual_seed(seed + feature)
    fires = own.nonzero().flatten()
    ranked = fires[own[fires].argsort(descending=True)]
    silent = (data.counts & (own == 0)).nonzero().flatten()
    other = int(silent[torch.randint(len(silent), (1,), generator=generator)])
    found = {}
    for way, token in (("strongest", int(ranked[0])), ("median", int(ranked[len(ranked) // 2])), ("elsewhere", other)):
        ids, origin = data.direction(dictionary, token, feature)
        back, rest = through_mlp(data.model, ids, origin), fires[fires != token]
        found[way] = tested(data, origin, back, rest)
        if way == "strongest":
            found["everywhere"] = tested(data, origin, back, data.counts.nonzero().flatten())
            found["norm"] = tested(data, origin, through_norm(data.model, ids, back), rest)
            instead = through_dictionary(dictionaries[TRANSCODER], data.model, ids, origin)
            found["transcoder"] = tested(data, origin, instead, rest)
    order = fires[torch.randperm(len(fires), generator=generator)]
    some, rest = order[:AVERAGED], order[AVERAGED:]
    pairs = [data.direction(dictionary, int(token), feature) for token in some]
    backs = [through_mlp(data.model, ids, origin) for ids, origin in pairs]
    mean = torch.stack([back.vector for back in backs]).mean(0)
    values = [statistics.fmean(one.linear for one in some) for some in ((o for _, o in pairs), backs)]
    origin = pairs[0][1]
    left = Direction(origin.point, 0, origin.vector, values[0], 0.0, "feature")
    linear = (data.rows["mlp_in.1"][some].mean(0) @ mean).item()
    found["mean"] = tested(data, left, Direction("mlp_in.1", 0, mean, linear, 0.0, "mlp"), rest)
    return found


def of_transcoder(dictionary: Dictionary, data: Read, feature: int, own: Tensor) -> Agreement:
    fires, token = own.nonzero().flatten(), int(own.argmax())
    ids, origin = data.direction(dictionary, token, feature)
    return tested(data, origin, through_norm(data.model, ids, origin), fires[fires != token])


def summary(found: list[Agreement]) -> dict[str, Any]:
    """Quartiles over features."""
    correlations = [one.correlation for one in found if not math.isnan(one.correlation)]
    explained = [one.explained for one in found if not math.isnan(one.explained)]
    return {
        "features": len(correlations),
        "tokens": statistics.median(one.tokens for one in found),
        "correlation": [round(q, 3) for q in statistics.quantiles(correlations, n=4)],
        "share_above_0.8": round(statistics.fmean(c > 0.8 for c in correlations), 3),
        "explained": [round(q, 3) for q in statistics.quantiles(explained, n=4)],
    }


def measure(folder: Path, features: int, seed: int) -> dict[str, Any]:
    dictionaries, data = opened(folder)
    codes = codes_of(dictionaries[MLP], data)
    chosen = drawn(codes, features, seed)
    each = [of_mlp(dictionaries, data, feature, codes[:, feature], seed) for feature in chosen]
    ways = {way: summary([one[way] for one in each]) for way in each[0]}
    own = codes_of(dictionaries[TRANSCODER], data)
    of_those = [
        of_transcoder(dictionaries[TRANSCODER], data, feature, own[:, feature])
        for feature in drawn(own, features, seed)
    ]
    return {
        "tokens": int(data.counts.sum()),
        "features": chosen,
        "ways": {**ways, "of transcoder": summary(of_those)},
        "correlation_of_strongest": [round(one["strongest"].correlation, 3) for one in each],
    }


def trained(folder: Path) -> Path:
    path = folder / "run.yaml"
    path.write_text(RUN, encoding="utf-8")
    run(config.load_yaml(RunConfig, path), folder / "run")
    return folder / "run"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a finished run of the three dictionaries")
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(settings.run or trained(Path(folder)), settings.features, settings.seed)
    if settings.json:
        print(json.dumps({"date": date.today().isoformat(), "machine": machine(), "run": RUN, **found}, indent=2))
        return
    print(f"{'':16}{'correlation: quartiles':>28}{'> 0.8':>8}{'explained: quartiles':>32}")
    for way, one in found["ways"].items():
        correlation, explained = ("".join(f"{q:9.3f}" for q in one[key]) for key in ("correlation", "explained"))
        print(f"{way:16}{correlation:>28}{100 * one['share_above_0.8']:7.0f}%{explained:>32}")


if __name__ == "__main__":
    main()
