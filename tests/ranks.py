"""Functions that run on several ranks, each a process of its own on this machine."""

import multiprocessing
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def on_ranks(count: int, function: Callable[..., Any], *arguments: Any, seconds: float = 300) -> list[Any]:
    """What `function(*arguments)` returns on each of `count` ranks that talk through gloo."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["monosema.runs", "torch.distributed.device_mesh"])
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=_run, args=(folder, rank, count, function, arguments)) for rank in range(count)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(seconds)
        failed = [process for process in processes if process.exitcode != 0]
        for process in failed:
            process.kill()
        assert not failed, "\n".join(path.read_text() for path in sorted(Path(folder).glob("error-*")))
        return [pickle.loads((Path(folder) / str(rank)).read_bytes()) for rank in range(count)]


def _run(folder: str, rank: int, count: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    import traceback

    torch.set_num_threads(1)
    os.environ.pop("OMP_NUM_THREADS", None)
    try:
        meeting = f"file://{folder}/meeting"
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=count)
        (Path(folder) / str(rank)).write_bytes(pickle.dumps(function(*arguments)))
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    except BaseException:
        (Path(folder) / f"error-{rank}").write_text(f"rank {rank}:\n{traceback.format_exc()}")
        raise
