"""Figures of every wiring: the metrics of its dictionaries, how often features fire, and ten where they are strongest.

    python benchmarks/wirings.py --page                    # short runs of the embedded model; docs/wiring-figures.md
    python benchmarks/wirings.py --run runs/cross_layer    # of a run that is there

Prints Markdown. The tables in docs/wirings.md are those of the same short runs.
"""

import argparse
from datetime import date
from pathlib import Path
from shutil import copyfile
from typing import Any

from PIL import Image
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
WIRINGS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "transcoders": (
        "Transcoders, one for each MLP",
        [
            {"site": f"mlp_in.{layer}", "target": f"mlp_out.{layer}", "width": 1024, "recipe": BATCH_TOPK}
            for layer in range(4)
        ],
    ),
    "heads": ("A block for each head", [{"site": "attn_z.2", "blocks": "heads", "width": 1024, "recipe": BATCH_TOPK}]),
    "stretcher": (
        "From an MLP's input to its hidden layer",
        [
            {
                "site": "gpt_neox.layers.2.mlp.dense_h_to_4h:in",
                "target": "gpt_neox.layers.2.mlp.dense_h_to_4h",
                "width": 1024,
                "recipe": BATCH_TOPK,
            }
        ],
    ),
    "joined": (
        "A sum, and activations side by side",
        [
            {"site": "resid_mid.2 + mlp_out.2", "width": 1024, "recipe": BATCH_TOPK},
            {"site": "attn_out.2 & mlp_out.2", "width": 1024, "recipe": BATCH_TOPK},
        ],
    ),
    "crosscoders": (
        "Crosscoders of four layers and of two",
        [
            {"site": site, "wiring": "crosscoder", "width": 1024, "recipe": BATCH_TOPK}
            for site in (STREAM, "resid_post.1 & resid_post.2")
        ],
    ),
    "cross_layer": (
        "Cross-layer features of all four MLPs",
        [
            {
                "site": MLP_IN,
                "target": MLP_OUT,
                "wiring": "cross_layer",
                "width": 4096,
                "recipe": {**BATCH_TOPK, "k": 128},
            }
        ],
    ),
}
TOGETHER = ("transcoders", "cross_layer")
"""What is also measured with all MLPs replaced at once."""
DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "wiring-figures.md"
HEAD = """# Figures of every wiring

Of the embedded model: `batch_topk` with k 32 and 1,024 features (the cross-layer features: k 128 and 4,096, in four
layers), trained on 61,440 tokens, a minute each, and measured on 8,187 held-out tokens ({}). So short a run shows what
each [wiring](wirings.md) is and does, not how good it can get. Ten features are drawn at random from those of middling
density, each shown where it is strongest. To make it again:

    python benchmarks/wirings.py --page

![How often features fire](images/wiring-densities.png)

How often features fire, from left to right and from the top: the four transcoders; the heads of layer 2; the stretcher;
`resid_mid.2 + mlp_out.2`; `attn_out.2 & mlp_out.2`; the crosscoder of four layers, and that of two; the cross-layer
features."""
ACROSS = 3
"""Pictures beside each other on the sheet of densities."""
FEATURES = 10
AROUND = 5
"""Tokens shown on each side of the strongest."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="the folder of a run, or of a dictionary")
    parser.add_argument("--out", type=Path, default=Path("runs/wirings"), help="where the short runs are written")
    parser.add_argument("--page", action="store_true", help="also write docs/wiring-figures.md and its picture")
    chosen = parser.parse_args()
    if chosen.run is not None:
        print(figures(chosen.run))
        return
    sections = [section(name, chosen.out / name) for name in WIRINGS]
    print("\n\n".join(sections))
    if chosen.page:
        PAGE.write_text("\n\n".join([HEAD.format(date.today()), *sections]) + "\n", encoding="utf-8")
        densities(chosen.out).save(DOCS / "images/wiring-densities.png", optimize=True)
        shares = next((chosen.out / "crosscoders/pictures").glob("shares-1-*.png"))
        copyfile(shares, DOCS / "images/crosscoder-shares.png")


def section(name: str, out: Path) -> str:
    """Trains the dictionaries of a wiring, and tells of them."""
    title, dictionaries = WIRINGS[name]
    config = from_dict(RunConfig, {**SHORT, "together": name in TOGETHER, "dictionaries": dictionaries})
    result = run(config, out, overwrite=True)
    parts = [f"## {title}", figures(out)]
    if result.together is not None:
        table = together_table(result.together, len(dictionaries))
        parts.append(markdown(table.headers, table.rows))
    return "\n\n".join(parts)


def figures(folder: Path) -> str:
    """The tables of a run's dictionaries, and ten features of each."""
    dictionaries, heldout = open_folder(folder)
    if not isinstance(heldout.model, LoadedModel) or heldout.contexts is None:
        raise SystemExit("needs a run with one model: features are shown in its text")
    found = evaluate(dictionaries, heldout.model, heldout.contexts)
    metrics = {name: one.metrics for name, one in found.items()}
    tables = [table for table in (table_rows(metrics), sites_table(metrics)) if table is not None]
    parts = [markdown(table.headers, table.rows) for table in tables]
    for name, dictionary in dictionaries.items():
        parts += [f"**`{name}`**", features_of(dictionary, found[name], heldout.model, heldout.contexts)]
    return "\n\n".join(parts)


def densities(out: Path) -> Image.Image:
    """The density histograms of all runs on one sheet, at half their size."""
    pictures = [
        Image.open(path).convert("RGB")
        for name in WIRINGS
        for path in sorted((out / name / "pictures").glob("density-*.png"))
    ]
    width, height = pictures[0].size
    rows = -(-len(pictures) // ACROSS)
    sheet = Image.new("RGB", (ACROSS * width, rows * height), "white")
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % ACROSS * width, number // ACROSS * height))
    return sheet.resize((sheet.width // 2, sheet.height // 2), Image.Resampling.LANCZOS).quantize(64)


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
