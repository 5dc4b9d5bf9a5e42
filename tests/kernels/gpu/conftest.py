import pytest
import torch

from monosema.kernels import backend, parts, search


@pytest.fixture(autouse=True)
def _as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tensor is given to the kernels of a GPU, which cut even small ones into several pieces."""
    pytest.importorskip("triton", reason="Triton is not installed, so that the kernels of a GPU are not tested")
    from monosema.kernels.gpu import largest, norms, positive, products, sums

    if not torch.cuda.is_available():
        monkeypatch.setattr(backend, "on_gpu", lambda tensor: True)
        monkeypatch.setattr(parts, "on_gpu", lambda tensor: True)
    monkeypatch.setattr(search, "GPU_NARROW", 0)
    monkeypatch.setattr(parts, "GPU_BUFFER", 48)
    monkeypatch.setattr(parts, "GPU_ROWS", 2)
    monkeypatch.setattr(sums, "CHUNK", 4)
    monkeypatch.setattr(sums, "ENTRIES", 2)
    monkeypatch.setattr(sums, "FEATURES", 16)
    monkeypatch.setattr(products, "ENTRIES", 2)
    monkeypatch.setattr(products, "FEATURES", 16)
    monkeypatch.setattr(positive, "BLOCK", 16)
    monkeypatch.setattr(norms, "BLOCK", 16)
    monkeypatch.setattr(largest, "GROUP", 4)
    monkeypatch.setattr(largest, "GROUPS", 16)
    monkeypatch.setattr(largest, "BLOCK", 16)
    monkeypatch.setattr(largest, "TILE", (8, 16))
