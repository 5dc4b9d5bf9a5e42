"""Makes the registry of published dictionaries that the package carries, from the list that SAELens keeps.

    python scripts/registry.py path/to/sae_lens/pretrained_saes.yaml 6.54.12

The list says which repository and path each dictionary has. Hook point, width and L0 are worked out from the names,
which say them in a dozen ways; what no name says is left open.
"""

import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

OUT = Path(__file__).parents[1] / "src" / "monosema" / "hub" / "registry.json.gz"

FORMATS = {
    None: "saelens",
    "dictionary_learning_1": "dictionary_learning",
    "gemma_2": "gemma_scope",
    "gemma_2_transcoder": "gemma_scope",
    "gemma_3": "gemma_scope_2",
    "llama_scope": "llama_scope",
    "llama_scope_r1_distill": "llama_scope_r1",
    "qwen_scope": "qwen_scope",
    "connor_rob_hook_z": "connor_rob",
    "mwhanna_transcoder": "circuit_tracer",
    "goodfire": "linear_pair",
    "deepseek_r1": "linear_pair",
}
"""How SAELens converts a release → the format as monosema calls it. What monosema cannot read is not listed."""

MODELS = {
    "gpt2-small": "gpt2",
    "pythia-70m-deduped": "EleutherAI/pythia-70m-deduped",
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
}
LEFT_OUT = {
    "mistral-7b-res-wg": "its files do not say how its input is normalised",
}
KINDS = {
    "hook_resid_pre": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_resid_post": "resid_post",
    "hook_attn_out": "attn_out",
    "hook_mlp_out": "mlp_out",
    "hook_z": "attn_z",
}
WIDTHS = {"gpt2-small-res-jb": 24_576, **{f"pythia-70m-deduped-{kind}-sm": 32_768 for kind in ("res", "att", "mlp")}}
"""Of releases whose names do not say it, but whose configurations do."""
THOUSANDS = {"65": 2**16, "131": 2**17, "262": 2**18, "524": 2**19}
TREATMENTS = ("fold_ln", "center_writing_weights", "fold_value_biases")


def point(release: str, format: str, repo: str, id: str, path: str) -> str:
    """The hook point, or `read>written` of a transcoder."""
    if found := re.match(r"blocks\.(\d+)\.(?:attn\.)?(hook_[a-z]+(?:_[a-z]+)*)", id):
        return f"{KINDS[found[2]]}.{found[1]}"
    if path.startswith("embedding/"):
        return "embed"
    layer = re.search(r"(?:layer_?|^l|-l)(\d+)", id)
    assert layer, (release, id)
    if format == "circuit_tracer" or "transcoder" in release:
        return f"mlp_in.{layer[1]}>mlp_out.{layer[1]}"
    signs = {
        "gemma_scope": {"-res": "resid_post", "-mlp": "mlp_out", "-att": "attn_z"},
        "gemma_scope_2": {"resid_post": "resid_post", "mlp_out": "mlp_out", "attn_out": "attn_z"},
        "llama_scope": {"LXR": "resid_post", "LXM": "mlp_out", "LXA": "attn_out"},
    }.get(format, {"": "resid_post"})
    (kind,) = {kind for sign, kind in signs.items() if sign in (path if format == "gemma_scope_2" else repo)}
    return f"{kind}.{layer[1]}"


def width(release: str, repo: str, path: str) -> int | None:
    """The number of features, where a name says it."""
    text = f"{release} {repo} {path}"
    if found := re.search(r"width-2pow(\d+)", text):
        return 2 ** int(found[1])
    if found := re.search(r"width_(\d+)([km])|-w-(\d+)(k)|v5[-_](\d+)(k)", text):
        number, unit = [group for group in found.groups() if group]
        return THOUSANDS.get(number, int(number) * 1024) if unit == "k" else int(number) * 2**20
    if found := re.search(r"-W(\d+)K-L0_", repo):
        return int(found[1]) * 1024
    if found := re.search(r"_ds(\d+)_", path):
        return int(found[1])
    if found := re.search(r"Base-LX[ARM]-(\d+)x", repo):
        return 4096 * int(found[1])
    if found := re.search(r"hook_[a-z]+(?:_[a-z]+)*_(\d{3,})", path):
        return int(found[1])
    return WIDTHS.get(release)


def l0(sae: dict[str, Any]) -> float | None:
    """Features active per token, as published."""
    if sae.get("l0"):
        return round(float(sae["l0"]), 1)
    found = re.search(r"average_l0_(\d+)", str(sae["path"]))
    return float(found[1]) if found else None


def model(name: str, repo: str) -> str:
    """The model's name on the Hugging Face hub."""
    if found := re.fullmatch(r"google/gemma-scope-(\d+b)-it-res", repo):
        return f"google/gemma-2-{found[1]}-it"
    name = MODELS.get(name, name)
    if found := re.fullmatch(r"qwen3-([\d.]+)b", name):
        return f"Qwen/Qwen3-{found[1]}B"
    return f"google/{name}" if name.startswith("gemma-") else name


def release(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """A release: what its dictionaries have in common, and a row for each."""
    repo, format = value["repo_id"], FORMATS[value["conversion_func"]]
    rows = []
    for sae in value["saes"]:
        id, path = sae["id"], str(sae["path"])
        row = [
            id,
            None if path == id else path,
            point(name, format, repo, id, path),
            width(name, repo, path),
            l0(sae),
            # Llama Scope's own files say the factor.
            sae.get("norm_scaling_factor") if format == "saelens" else None,
        ]
        while row[-1] is None:
            row.pop()
        rows.append(row)
    found = {"repo": repo, "model": model(value["model"], repo), "format": format, "dictionaries": rows}
    treated = (value.get("config_overrides") or {}).get("model_from_pretrained_kwargs")
    return found if treated is None else found | {"treated": [t for t in TREATMENTS if treated.get(t)]}


def main(source: Path, version: str) -> None:
    listed = yaml.load(source.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    kept = {n: v for n, v in listed.items() if v["conversion_func"] in FORMATS and n not in LEFT_OUT}
    registry = {
        "source": f"SAELens {version} (MIT licence)",
        "releases": {name: release(name, value) for name, value in sorted(kept.items())},
    }
    text = json.dumps(registry, ensure_ascii=False, separators=(",", ":"))
    OUT.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    count = sum(len(value["dictionaries"]) for value in registry["releases"].values())
    print(f"{OUT}: {count:,} dictionaries of {len(kept)} releases, {OUT.stat().st_size:,} bytes")
    print(f"not listed: {', '.join(sorted(listed.keys() - kept.keys()))}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
