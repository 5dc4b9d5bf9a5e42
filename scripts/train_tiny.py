"""Trains the embedded language model, `monosema.tiny`, from nothing: tokenizer, weights, model card.

    python scripts/train_tiny.py --out src/monosema/tiny/model

Two cores need about an hour. The matrices learn by Muon, the rest by Adam; the loss is computed in row chunks, so
that the [tokens, vocabulary] logits never leave the cache. Contexts are short at first, because attention is then
cheap, and full at the end. Master weights are float32; what runs, and what is saved, is bfloat16.
"""

import argparse
import json
import math
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from monosema.tiny.corpus import Split, corpus

EOT = "<|endoftext|>"
VOCABULARY, CONTEXT, SHORT_CONTEXT = 4096, 512, 256
LOSS_ROWS = 512


def train_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[EOT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus("train"), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=EOT, eos_token=EOT, model_max_length=CONTEXT)


def encode(tokenizer: PreTrainedTokenizerFast, split: Split) -> list[Tensor]:
    """Each document's token ids, the end-of-text token first."""
    texts = list(corpus(split))
    ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return [torch.tensor([tokenizer.bos_token_id, *doc]) for doc in ids]


def contexts(documents: list[Tensor], length: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endless contexts `[length]`: each epoch joins the documents in a new order and cuts at a new offset."""
    while True:
        order = torch.randperm(len(documents), generator=generator)
        stream = torch.cat([documents[i] for i in order])
        stream = stream[int(torch.randint(length, (1,), generator=generator)) :]
        rows = stream[: len(stream) // length * length].view(-1, length)
        yield from rows[torch.randperm(len(rows), generator=generator)]


class ChunkedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of `softmax(h Wᵀ)` against targets, in chunks of rows; the gradients are made on the way."""

    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros(weight.shape)
        total, n = torch.zeros(()), len(targets)
        for start in range(0, n, LOSS_ROWS):
            h, t = hidden[start : start + LOSS_ROWS], targets[start : start + LOSS_ROWS, None]
            logits = (h @ weight.T).float()
            log_norm = logits.logsumexp(1, keepdim=True)
            total += (log_norm - logits.gather(1, t)).sum()
            error = logits.sub_(log_norm).exp_().scatter_add_(1, t, torch.full(t.shape, -1.0))
            error = error.div_(n).to(h.dtype)
            grad_hidden[start : start + LOSS_ROWS] = error @ weight
            grad_weight += error.T @ h
        ctx.save_for_backward(grad_hidden, grad_weight.to(weight.dtype))
        return total / n

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        (grad,) = grad_outputs
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grad, grad_weight * grad, None


class MasterWeights:
    """Float32 copies of a bfloat16 model's parameters, stepped by Muon (matrices inside the blocks) and Adam (rest)."""

    def __init__(self, model: GPTNeoXForCausalLM, lr: float, weight_decay: float):
        self.live = dict(model.named_parameters())
        self.master = {name: p.detach().float().clone() for name, p in self.live.items()}
        matrices = [m for name, m in self.master.items() if m.ndim == 2 and ".layers." in name]
        tables = [m for name, m in self.master.items() if m.ndim == 2 and ".layers." not in name]
        vectors = [m for m in self.master.values() if m.ndim < 2]
        self.muon = torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self.adam = torch.optim.AdamW(
            [{"params": tables, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=lr,
            betas=(0.9, 0.95),
            fused=True,
        )
        self.groups = [*self.muon.param_groups, *self.adam.param_groups]
        self.lrs = [group["lr"] for group in self.groups]

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """One update at `scale` times the peak learning rate."""
        for name, p in self.live.items():
            assert p.grad is not None, name
            self.master[name].grad = p.grad.float()
            p.grad = None
        torch.nn.utils.clip_grad_norm_(self.master.values(), 1.0)
        for group, lr in zip(self.groups, self.lrs, strict=True):
            group["lr"] = lr * scale
        self.muon.step()
        self.adam.step()
        for name, p in self.live.items():
            p.copy_(self.master[name])


def hidden_states(model: GPTNeoXForCausalLM, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Final hidden states and the next tokens that they predict, one row each."""
    hidden = model.gpt_neox(input_ids=ids, use_cache=False).last_hidden_state
    return hidden[:, :-1].flatten(0, 1), ids[:, 1:].flatten()


@torch.no_grad()
def bits_per_byte(model: GPTNeoXForCausalLM, documents: list[Tensor], token_bytes: Tensor) -> float:
    """Bits that the model needs for each byte of the documents, in separate contexts of full length."""
    stream = torch.cat(documents)
    rows = stream[: len(stream) // CONTEXT * CONTEXT].view(-1, CONTEXT)
    nats, size = 0.0, 0
    weight = model.get_output_embeddings().weight
    for ids in rows.split(16):
        hidden, targets = hidden_states(model, ids)
        nats += F.cross_entropy((hidden @ weight.T).float(), targets, reduction="sum").item()
        size += int(token_bytes[targets].sum())
    return nats / math.log(2) / size


def byte_lengths(tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """Bytes of text that each token stands for; none for the end of a text."""
    lengths = torch.zeros(VOCABULARY, dtype=torch.long)
    for token, index in tokenizer.get_vocab().items():
        lengths[index] = 0 if token == EOT else len(token)  # one character of a byte-level token for each byte
    return lengths


def schedule(done: float, warmup: float = 0.02) -> float:
    """Linear warm-up, then linear decay to zero; `done` runs from 0 to 1."""
    return min(done / warmup, (1 - done) / (1 - warmup))


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    tokenizer = train_tokenizer()
    documents, heldout = encode(tokenizer, "train"), encode(tokenizer, "heldout")
    distinct = sum(map(len, documents))
    print(f"{distinct:,} training tokens, {sum(map(len, heldout)):,} held out")

    end = tokenizer.get_vocab()[EOT]
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        num_hidden_layers=4,
        num_attention_heads=8,
        intermediate_size=1024,
        max_position_embeddings=CONTEXT,
        use_parallel_residual=False,  # so that the stream between attention and MLP exists as a hook point
        bos_token_id=end,
        eos_token_id=end,
        tie_word_embeddings=False,
        dtype="bfloat16",
    )
    model = GPTNeoXForCausalLM(config).bfloat16()
    model.train()
    weights = MasterWeights(model, args.lr, args.weight_decay)
    short, full = (contexts(documents, n, generator) for n in (SHORT_CONTEXT, CONTEXT))
    steps = args.tokens // args.batch
    log, start = [], time.perf_counter()
    for step in range(steps):
        source, length = (short, SHORT_CONTEXT) if step < steps * args.short else (full, CONTEXT)
        ids = torch.stack([next(source) for _ in range(args.batch // length)])
        hidden, targets = hidden_states(model, ids)
        loss = ChunkedCrossEntropy.apply(hidden, model.get_output_embeddings().weight, targets)
        loss.backward()
        weights.step(schedule((step + 1) / (steps + 1)))
        log.append(loss.item())
        if (step + 1) % 50 == 0:
            speed = (step + 1) * args.batch / (time.perf_counter() - start)
            left = (steps - step - 1) * args.batch / speed / 60
            mean = sum(log[-50:]) / 50
            print(f"step {step + 1}/{steps}  loss {mean:.3f}  {speed:,.0f} tokens/s  {left:.0f} min left", flush=True)

    model.eval()
    token_bytes = byte_lengths(tokenizer)
    generator.manual_seed(args.seed)
    sample = [documents[i] for i in torch.randperm(len(documents), generator=generator)[: len(heldout)]]
    results = {
        "heldout_bits_per_byte": round(bits_per_byte(model, heldout, token_bytes), 4),
        "train_bits_per_byte": round(bits_per_byte(model, sample, token_bytes), 4),
        "tokens": steps * args.batch,
        "distinct_tokens": distinct,
        "minutes": round((time.perf_counter() - start) / 60, 1),
        "python": platform.python_version(),
    }
    print(json.dumps(results))
    save(args.out, model, tokenizer, results)


CARD = """\
---
license: mit
language: [code]
library_name: transformers
pipeline_tag: text-generation
---
# monosema tiny

A small language model of Python source code, made to be looked into: every tutorial, test and demonstration of
monosema can read a real model with it, without a download.

| | |
| --- | --- |
| architecture | GPT-NeoX (that of the Pythia models), 4 layers, d_model 256, 8 heads, sequential residual stream, 5.3 M parameters in bfloat16 |
| tokenizer | byte-level BPE of 4,096 tokens, trained on the same text |
| context | 512 tokens |
| text | the source code of Python {python}'s standard library, its tests included; the files on the held-out side of a hash of their path (one in sixteen) were never trained on |
| training | {tokens:,} tokens ({distinct_tokens:,} distinct); Muon and AdamW, linear decay; {minutes} minutes on two cores that other work shared |
| bits per byte | **{heldout_bits_per_byte:.3f}** on the held-out files, {train_bits_per_byte:.3f} on training files |

Made by `python scripts/train_tiny.py --out src/monosema/tiny/model`. The residual stream is sequential, unlike Pythia's,
so that the stream between attention and MLP exists as a hook point (`resid_mid`).

It is for research on methods. It knows nothing but Python source, and its completions are not to be relied on. The
standard library's text is under the PSF licence.
"""  # noqa: E501


def save(out: Path, model: GPTNeoXForCausalLM, tokenizer: PreTrainedTokenizerFast, results: dict) -> None:
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "training.json").write_text(json.dumps(results, indent=2) + "\n")
    (out / "README.md").write_text(CARD.format(**results))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--tokens", type=int, default=36_000_000, help="tokens to train on")
    parser.add_argument("--batch", type=int, default=8192, help="tokens per step")
    parser.add_argument("--short", type=float, default=0.7, help="fraction of the steps with short contexts")
    parser.add_argument("--lr", type=float, default=6e-3, help="peak learning rate")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())
