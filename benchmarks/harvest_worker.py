"""One library's way from text to shuffled batches of activations: the other end of `harvest_peers.py`.

    python harvest_worker.py '{"library": "dl", "model": FOLDER, "texts": FILE, "layer": 2, "tokens": 65536, ...}'

Each turn yields as many activations as the job says, in batches; reading the model again is in it as often as the
library's buffer wants it.
"""

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from versus.turns import serve

Next = Callable[[], torch.Tensor]
LENGTH, CONTEXTS_AT_ONCE, BATCH, BUFFER = 512, 16, 4096, 65_536


def bare(job: dict[str, Any]) -> Next:
    """The model cut behind the hook point, on contexts that were tokenised beforehand: the limit."""
    model, tokenizer = _model(job)
    base = model.get_submodule("gpt_neox")
    del base.layers[job["layer"] + 1 :]
    ids = torch.tensor(tokenizer("".join(_texts(job)))["input_ids"])
    ids = ids[: len(ids) // LENGTH * LENGTH].view(-1, LENGTH).to(model.device)
    contexts = itertools.cycle(ids.split(CONTEXTS_AT_ONCE))

    def some() -> torch.Tensor:
        with torch.inference_mode():
            return base(next(contexts), use_cache=False).last_hidden_state.flatten(0, 1)

    return some


def ours(job: dict[str, Any]) -> Next:
    """A `ModelSource`, from whole documents."""
    from monosema.activations import Contexts, ModelSource
    from monosema.models import load_model

    model, point = load_model(job["model"], dtype="bfloat16", device=job["device"]), f"resid_post.{job['layer']}"
    text = Contexts(model.tokenizer, _texts(job), LENGTH, repeat=True)
    source = ModelSource(model, text, [point], batch_size=BATCH, buffer_rows=BUFFER, context_batch=CONTEXTS_AT_ONCE)
    return lambda: next(source)[point]


def dictionary_learning(job: dict[str, Any]) -> Next:
    """An `ActivationBuffer`. It cuts every text at a context's length, so it is given texts of that length."""
    from dictionary_learning import ActivationBuffer  # pyright: ignore[reportMissingImports]
    from nnsight import LanguageModel  # pyright: ignore[reportMissingImports]

    model, tokenizer = _model(job)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    ids = torch.tensor(tokenizer("".join(_texts(job)))["input_ids"])
    pieces = tokenizer.batch_decode(ids[: len(ids) // LENGTH * LENGTH].view(-1, LENGTH))
    traced = LanguageModel(model, tokenizer=tokenizer)
    buffer = ActivationBuffer(
        itertools.cycle(pieces),
        traced,
        traced.gpt_neox.layers[job["layer"]],
        d_submodule=model.config.hidden_size,
        n_ctxs=BUFFER // LENGTH,
        ctx_len=LENGTH,
        refresh_batch_size=CONTEXTS_AT_ONCE,
        out_batch_size=BATCH,
        device=job["device"],
    )
    return lambda: next(buffer)


def saelens(job: dict[str, Any]) -> Next:
    """An `ActivationsStore` on the Hugging Face model."""
    from datasets import Dataset  # pyright: ignore[reportMissingImports]
    from sae_lens import ActivationsStore  # pyright: ignore[reportMissingImports]
    from sae_lens.load_model import HookedProxyLM  # pyright: ignore[reportMissingImports]

    model, tokenizer = _model(job)
    hook = f"gpt_neox.layers.{job['layer']}"
    store = ActivationsStore(
        HookedProxyLM(model, tokenizer, [hook]),
        Dataset.from_dict({"text": _texts(job)}),
        streaming=False,
        hook_name=hook,
        hook_head_index=None,
        context_size=LENGTH,
        d_in=model.config.hidden_size,
        n_batches_in_buffer=BUFFER // LENGTH,
        total_training_tokens=10**9,
        store_batch_size_prompts=CONTEXTS_AT_ONCE,
        train_batch_size_tokens=BATCH,
        prepend_bos=False,
        normalize_activations="none",
        device=torch.device(job["device"]),
        dtype="float32",
    )
    return store.next_batch


def _model(job: dict[str, Any]) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.bfloat16).eval().requires_grad_(False)
    return model.to(job["device"]), AutoTokenizer.from_pretrained(job["model"])


def _texts(job: dict[str, Any]) -> list[str]:
    return json.loads(Path(job["texts"]).read_text())


def _turns(fetch: Next, tokens: int) -> Iterator[int]:
    """Rows more than were asked for in one turn count for the next."""
    spare = 0
    while True:
        while spare < tokens:
            spare += len(fetch())
        spare -= tokens
        yield tokens


LIBRARIES = {"bare": bare, "ours": ours, "dl": dictionary_learning, "sl": saelens}


def main() -> None:
    job = json.loads(sys.argv[1])
    turns = _turns(LIBRARIES[job["library"]](job), job["tokens"])
    next(turns)
    serve(lambda: next(turns), job)


if __name__ == "__main__":
    main()
