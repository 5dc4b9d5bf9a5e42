"""What it gains on a GPU that the model reads for the next batches while the dictionary learns from this one.

    python benchmarks/reading_ahead.py [--d 2048] [--layers 10] [--width 8192] [--batches 96] [--json]

A GPT-NeoX of random weights in bfloat16, read behind its eighth layer in contexts of 512 tokens, sixteen at a time, on
the tiny corpus; TopK with k = 32, batches of 4,096 from a buffer of 65,536 rows. Milliseconds a batch: of both
together, with reading ahead and without; of training steps alone on one batch; of reading alone. On a CPU there is
nothing to gain: the model and the dictionary share its cores.
"""

import json
import time
from collections.abc import Callable
from itertools import islice

import torch
from gpu_kernels import arguments
from harvest import measured_on
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

import monosema as ms
from monosema.activations import Contexts, ModelSource, open_text
from monosema.models import LoadedModel, load_model
from monosema.recipes import recipes

POINT, LENGTH, CONTEXTS, BATCH, BUFFER, K = "resid_post.7", 512, 16, 4096, 65_536, 32
DOCUMENTS, WARMUP, STEPS = 300, 24, 1000


def random_model(d: int, layers: int) -> LoadedModel:
    """A model with the embedded one's tokeniser, on the GPU."""
    tokenizer = load_model("tiny", device="cpu").tokenizer
    assert tokenizer is not None
    config = GPTNeoXConfig(
        hidden_size=d,
        num_hidden_layers=layers,
        num_attention_heads=d // 128,
        intermediate_size=4 * d,
        vocab_size=len(tokenizer),
        max_position_embeddings=LENGTH,
    )
    with torch.device("cuda"):
        module = GPTNeoXForCausalLM(config)
    return load_model(module.requires_grad_(False), tokenizer=tokenizer, dtype="bfloat16")


def milliseconds(work: Callable[[], object], batches: int) -> float:
    """The mean time of one call, when the device has done all of them."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(batches):
        work()
    torch.cuda.synchronize()
    return round(1e3 * (time.perf_counter() - start) / batches, 2)


def measure(model: LoadedModel, texts: list[str], ahead: bool, d: int, width: int, batches: int) -> dict[str, float]:
    contexts = Contexts(model.tokenizer, texts, LENGTH, repeat=True)
    source = ModelSource(
        model, contexts, [POINT], batch_size=BATCH, buffer_rows=BUFFER, context_batch=CONTEXTS, ahead=ahead
    )
    batch = next(source)
    spec, recipe = ms.Spec.autoencoder(POINT, d, width), recipes["topk"](k=K)  # pyright: ignore[reportCallIssue]
    learner = ms.Learner(spec, recipe, batch, steps=STEPS, batch_size=BATCH, device="cuda", autocast=True)
    for _ in range(WARMUP):
        learner.step(next(source))
    return {
        "both": milliseconds(lambda: learner.step(next(source)), batches),
        "step": milliseconds(lambda: learner.step(batch), batches),
        "reading": milliseconds(lambda: next(source), batches),
    }


def main() -> None:
    settings, as_json = arguments(__doc__, d=2048, layers=10, width=8192, batches=96)
    model, texts = random_model(settings["d"], settings.pop("layers")), list(islice(open_text("tiny:train"), DOCUMENTS))
    found = {name: measure(model, texts, ahead, **settings) for name, ahead in (("in turns", False), ("ahead", True))}
    if as_json:
        print(json.dumps({**measured_on("cuda"), **settings, "milliseconds": found}, indent=2, ensure_ascii=False))
        return
    for name, figures in found.items():
        print(f"{name:10}" + "".join(f"{part:>10}{figure:8.2f} ms" for part, figure in figures.items()))


if __name__ == "__main__":
    main()
