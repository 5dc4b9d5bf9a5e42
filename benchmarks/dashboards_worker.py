"""One library's dashboards of a dictionary's features: the other end of `dashboards.py`, in the library's environment.

    python dashboards_worker.py '{"library": "ours", "dictionary": FOLDER, "tokens": 65536, "context": 128, ...}'

A turn of ours builds the feature store of all features and writes the page of some; a turn of SAEDashboard makes the
data of these and writes its page.
"""

# pyright: reportMissingImports=false
import json
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from versus.turns import serve

POINT = "blocks.2.hook_resid_post"
WINDOW = 4
"""Contexts are shuffled among so many times the tokens that are read; with a million, as `features build` does."""
MINIBATCH = 64
"""Contexts that SAEDashboard reads at once: its default."""

Work = tuple[Callable[[], object], Callable[[], dict[str, Any]]]


def contexts_of(job: dict[str, Any], tokenizer: Any) -> Any:
    """The contexts that all libraries read."""
    from monosema.activations import Contexts, MixedContexts

    return MixedContexts(Contexts(tokenizer, "tiny:train", job["context"]), WINDOW * job["tokens"])


def ours(job: dict[str, Any]) -> Work:
    """The feature store, and the page."""
    import monosema as ms
    from monosema.device import keep_freed_memory
    from monosema.features import build_features
    from monosema.models import load_model

    keep_freed_memory()  # as `monosema features build` does
    dictionary, model = ms.load(job["dictionary"]).eval(), load_model("tiny")
    store, clock = Path(job["scratch"]) / "store", time.process_time if job["processor"] else time.perf_counter
    seconds: dict[str, float] = defaultdict(float)

    def turn() -> None:
        shutil.rmtree(store, ignore_errors=True)
        seconds.clear()
        with _added_to(seconds, "store", clock), _parts_timed(seconds, clock):
            built = build_features(
                dictionary, model, contexts_of(job, model.tokenizer), store, tokens=job["tokens"], text="tiny:train"
            )
        if job["features"]:
            provider = _provider(built, dictionary, model)
            with _added_to(seconds, "page", clock):
                _write_page(provider, store.with_suffix(".html"), job["features"])

    return turn, lambda: {"seconds": dict(seconds), "fired": _fired(store, job["features"])}


def _provider(store: Any, dictionary: Any, model: Any) -> Any:
    from monosema.dashboard.provider import StoreProvider

    class Plain(StoreProvider):
        """Without what the model would have to be run for again, which SAEDashboard does not have."""

        def overview(self) -> Any:
            return {**super().overview(), "effects": False}

    return Plain(store, dictionary, model)


def _write_page(provider: Any, page: Path, features: int) -> None:
    from monosema.dashboard import write_page

    write_page(page, provider, range(features))


def _fired(store: Path, features: int) -> list[int]:
    from monosema.features import FeatureStore

    return FeatureStore(store).column("activations")[:features].tolist()


@contextmanager
def _added_to(seconds: dict[str, float], part: str, clock: Callable[[], float]) -> Iterator[None]:
    start = clock()
    yield
    seconds[part] += clock() - start


@contextmanager
def _parts_timed(seconds: dict[str, float], clock: Callable[[], float]) -> Iterator[None]:
    """Adds up what each part of building a store takes."""
    from monosema.dictionaries import Dictionary
    from monosema.features import build, sorting, writing

    parts: list[tuple[Any, str, str]] = [
        (build, "_next", "contexts"),
        (build, "read", "model"),
        (Dictionary, "active_entries", "codes"),
        (writing.TokenWriter, "write", "tokens"),
        (sorting.Sorter, "add", "sorting"),
        (sorting.Sorter, "counts", "sorting"),
        (sorting.Sorter, "_merged", "sorting"),
        (writing.ActivationWriter, "write", "activations"),
        (build, "summarise", "summaries"),
        (build, "cofiring", "cofiring"),
        (build, "describe", "directions"),
        (build, "words_of", "words"),
        (build, "write_features", "table"),
    ]

    def timed(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with _added_to(seconds, part, clock):
                return function(*args, **kwargs)

        return wrapped

    with ExitStack() as patched:
        for owner, name, part in parts:
            patched.enter_context(patch.object(owner, name, timed(getattr(owner, name), part)))
        yield


def sae_dashboard(job: dict[str, Any]) -> Work:
    """SAEDashboard's runner and its page, with its defaults."""
    from sae_dashboard.data_writing_fns import save_feature_centric_vis
    from sae_dashboard.sae_vis_data import SaeVisConfig
    from sae_dashboard.sae_vis_runner import SaeVisRunner
    from sae_lens import SAE
    from safetensors.torch import load_file
    from versus.hooked import hooked_transformer

    dtype = getattr(torch, job["dtype"])
    model, sae = hooked_transformer(job["model"], dtype), SAE.load_from_disk(job["dictionary"], device="cpu")
    if torch.allclose(sae.W_dec.norm(dim=1), torch.ones(())):  # what SAELens refuses to do for TopK is done already
        sae.fold_W_dec_norm = lambda: None
    sae = sae.to(dtype)
    ids, page = load_file(job["contexts"])["ids"], Path(job["scratch"]) / "theirs.html"
    config = SaeVisConfig(
        hook_point=POINT,
        features=list(range(job["features"])),
        minibatch_size_tokens=MINIBATCH,
        dtype=job["dtype"],
        ignore_tokens=set(job["special"]),
    )
    found: dict[str, Any] = {}

    def turn() -> None:
        found["data"] = SaeVisRunner(config).run(encoder=sae, model=model, tokens=ids)
        save_feature_centric_vis(found["data"], page)

    def last() -> dict[str, Any]:
        shares = [_density(one) for one in found["data"].feature_data_dict.values()]
        return {"fired": [round(share * ids.numel()) for share in shares]}

    return turn, last


def _density(feature: Any) -> float:
    """The share of tokens that a feature fires on, which is in a title."""
    title = feature.acts_histogram_data.title  # there is none of a feature that never fires
    return float(title.rpartition(" ")[2].rstrip("%")) / 100 if title else 0.0


LIBRARIES = {"ours": ours, "sd": sae_dashboard}


def main() -> None:
    job = json.loads(sys.argv[1])
    work, last = LIBRARIES[job["library"]](job)
    serve(work, job, last)


if __name__ == "__main__":
    main()
