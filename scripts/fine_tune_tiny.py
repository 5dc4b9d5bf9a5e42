"""Fine-tunes the embedded language model on a part of its corpus: a second model, to be compared with the first.

    python scripts/fine_tune_tiny.py --out models/tiny-asyncio
    python scripts/fine_tune_tiny.py --out models/tiny-cut --steps 0 --silence 2    # a change that is known

Only files with `--part` in their path are read, by default those of asyncio and its tests. A minute or two on a CPU.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch

from monosema import load_model
from monosema.tiny.corpus import documents

CONTEXT = 256


def contexts(tokenizer: Any, part: str) -> torch.Tensor:
    """The part's text in contexts of token ids, `[n, CONTEXT]`, documents apart by the end-of-text token."""
    texts = [document.text for document in documents("train") if part in document.path]
    found = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    stream = torch.tensor([token for ids in found for token in (tokenizer.bos_token_id, *ids)])
    print(f"{len(texts)} documents with {part!r} in their path, {len(stream):,} tokens")
    return stream[: len(stream) // CONTEXT * CONTEXT].view(-1, CONTEXT)


def fine_tune(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    loaded = load_model("tiny", dtype="float32", device=args.device)
    model: Any = loaded.module.train().requires_grad_(True)  # transformers' types know little of it
    tokenizer: Any = loaded.tokenizer
    rows = contexts(tokenizer, args.part)
    optimiser = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.0)
    start = time.perf_counter()
    for step in range(args.steps):
        for group in optimiser.param_groups:
            group["lr"] = args.lr * (1 - step / args.steps)
        ids = rows[torch.randint(len(rows), (args.batch,))].to(loaded.device)
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        if step % 50 == 0 or step == args.steps - 1:
            print(
                f"step {step + 1}/{args.steps}  loss {loss.item():.3f}  {time.perf_counter() - start:.0f} s", flush=True
            )
    if args.silence is not None:
        written = model.gpt_neox.layers[args.silence].mlp.dense_4h_to_h
        with torch.no_grad():
            written.weight.zero_()
            written.bias.zero_()
    model.eval().bfloat16().save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--part", default="asyncio", help="what the path of a file must contain to be read")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=8, help="contexts of 256 tokens in a step")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate at the start; it falls to zero")
    parser.add_argument("--silence", type=int, help="a layer whose MLP is made to write zeros, after training")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    fine_tune(parser.parse_args())
