"""One way to find codes by pursuit, on demand: the other end of `pursuit.py`, in the library's own environment."""

import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from versus.turns import serve


def problem(job: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Vectors [tokens, d] that a quarter more than k directions make up, with noise; and unit directions [width, d]."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(job["width"], job["d"], generator=generator)
    directions /= directions.norm(dim=1, keepdim=True)
    active = job["k"] * 5 // 4
    places = torch.randint(job["width"], (job["tokens"], active), generator=generator)
    values = 0.3 + torch.rand(job["tokens"], active, generator=generator)
    x = torch.stack([v @ directions[p] for v, p in zip(values, places, strict=True)])
    return x + 0.02 * torch.randn(x.shape, generator=generator), directions


def _finder(job: dict[str, Any], x: Tensor, directions: Tensor) -> Callable[[], Any]:
    """What finds codes, dense ones or ours."""
    if job["way"] == "dl":
        from dictionary_learning.grad_pursuit import grad_pursuit  # pyright: ignore[reportMissingImports]

        columns = directions.T.contiguous()
        return lambda: grad_pursuit(x, columns, job["k"])
    from monosema.kernels import pursue

    ways: dict[str, dict[str, Any]] = {
        "ours": {},
        "ours-gradient": {"picks": 1, "fit": "gradient"},
        "ours-orthogonal": {"picks": 1},
    }
    return lambda: pursue(x, directions, job["k"], **ways[job["way"]])


def main() -> None:
    job = json.loads(sys.argv[1])
    x, directions = problem(job)
    codes: list[Any] = []
    find = _finder(job, x, directions)

    def turn() -> None:
        codes[:] = [find()]

    def end() -> dict[str, float]:
        dense = codes[0] if isinstance(codes[0], Tensor) else codes[0].to_dense()
        error = (x - dense @ directions).square().sum() / x.square().sum()
        return {"explained": round(1 - float(error), 5), "l0": round(float((dense != 0).sum(1).float().mean()), 2)}

    serve(turn, job, end)


if __name__ == "__main__":
    main()
