"""The tables of docs/wirings.md: the metrics of every wiring's dictionaries, and ten features where they are strongest.

    python benchmarks/wirings.py                       # short runs of the embedded model, some minutes
    python benchmarks/wirings.py --run runs/cross_layer    # of a run that is there

Prints Markdown. The density histograms are the runs' own, in `pictures/` of each folder.
"""

import argparse
from pathlib import Path
from typing import Any

from torch import Tensor

from monosema.analysis import Example, middling_features, top_examples
from monosema.analysis.render import one_line
from monosema.config import from_dict
from monosema.dictionaries import Dictionary
from monosema.evaluation import Evaluation, evaluate, sites_table, table_rows, together_table
from monosema.models import LoadedModel
from monosema.runs import RunConfig, run
from monosema.runs.evaluate import open_folder

SHORT = {"tokens": 61_440, "shuffle": 1_048_576, "buffer": 16_384, "heldout_tokens": 8_192, "device": "cpu"}
BATCH_TOPK = {"name": "batch_topk", "k": 32}
STREAM = " & ".join(f"resid_post.{layer}" for layer in range(4))
MLP_IN, MLP_OUT = (" & ".join(f"mlp_{side}.{layer}" for layer in range(4)) for side in ("in", "out"))
WIRINGS: dict[str, list[dict[str, Any]]] = {
    "transcoders": [
        {"site": f"mlp_in.{layer}", "target": f"mlp_out.{layer}", "width": 1024, "recipe": BATCH_TOPK}
        for layer in range(4)
    ],
    "heads": [{"site": "attn_z.2", "blocks": "heads", "width": 1024, "recipe": BATCH_TOPK}],
    "stretcher": [
        {
            "site": "gpt_neox.layers.2.mlp.dense_h_to_4h:in",
            "target": "gpt_neox.layers.2.mlp.dense_h_to_4h",
            "width": 1024,
            "recipe": BATCH_TOPK,
        }
    ],
    "joined": [
        {"site": "resid_mid.2 + mlp_out.2", "width": 1024, "recipe": BATCH_TOPK},
        {"site": "attn_out.2 & mlp_out.2", "width": 1024, "recipe": BATCH_TOPK},
    ],
    "crosscoders": [
        {"site": site, "wiring": "crosscoder", "width": 1024, "recipe": BATCH_TOPK}
        for site in (STREAM, "resid_post.1 & resid_post.2")
    ],
    "cross_layer": [
        {
            "site": MLP_IN,
            "target": MLP_OUT,
            "wiring": "cross_layer",
            "width": 4096,
            "recipe": {**BATCH_TOPK, "k": 128},
        }
    ],
}
TOGETHER = ("transcoders", "cross_layer")
"""What is also measured with all MLPs replaced at once."""
FEATURES = 10
AROUND = 5
"""Tokens shown on each side of the strongest."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="the folder of a run, or of a dictionary")
    parser.add_argument("--out", type=Path, default=Path("runs/wirings"), help="where the short runs are written")
    chosen = parser.parse_args()
    if chosen.run is not None:
        show(chosen.run)
        return
    for name, dictionaries in WIRINGS.items():
        together = name in TOGETHER
        config = from_dict(RunConfig, {**SHORT, "together": together, "dictionaries": dictionaries})
        result = run(config, chosen.out / name, overwrite=True)
        print(f"## {name}\n")
        show(chosen.out / name)
        if result.together is not None:
            table = together_table(result.together, len(dictionaries))
            print(markdown(table.headers, table.rows), "\n")


def show(folder: Path) -> None:
    dictionaries, heldout = open_folder(folder)
    if not isinstance(heldout.model, LoadedModel) or heldout.contexts is None:
        raise SystemExit("needs a run with one model: features are shown in its text")
    found = evaluate(dictionaries, heldout.model, heldout.contexts)
    metrics = {name: one.metrics for name, one in found.items()}
    for table in (table_rows(metrics), sites_table(metrics)):
        if table is not None:
            print(markdown(table.headers, table.rows), "\n")
    for name, dictionary in dictionaries.items():
        print(f"{name}\n")
        print(features_of(dictionary, found[name], heldout.model, heldout.contexts), "\n")


def features_of(dictionary: Dictionary, found: Evaluation, model: LoadedModel, contexts: Tensor) -> str:
    """Ten features drawn at random from those of middling density, each where it is strongest."""
    features = middling_features(found.density, n=FEATURES)
    examples = top_examples(dictionary, model, contexts, features, n=1, window=(AROUND, AROUND))
    rows = [
        [str(feature), f"{100 * float(found.density[feature]):.2g}", shown(examples[feature][0])]
        for feature in sorted(examples)
    ]
    return markdown(["feature", "fires on (%)", "strongest at"], rows)


def shown(example: Example) -> str:
    """An example as Markdown, its strongest token in bold."""
    before, at, after = (
        one_line("".join(tokens)).replace("|", "\\|").replace("`", "'")
        for tokens in (
            example.tokens[: example.strongest],
            example.tokens[example.strongest : example.strongest + 1],
            example.tokens[example.strongest + 1 :],
        )
    )
    return "".join(part for part in (code(before), f"**{code(at)}**", code(after)) if part)


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def markdown(headers: list[str], rows: list[list[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
