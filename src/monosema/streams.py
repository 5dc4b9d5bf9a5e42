"""Work of a GPU that nobody waits for: copies to and from it, and a stream beside the one that is computing.

On other devices the same calls do the work at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


def pinned(x: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU in memory from which a GPU fetches by itself; for another device, or from one, as it is."""
    return x.pin_memory() if device.type == "cuda" and x.device.type == "cpu" else x


def sent(x: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; a GPU has it in time for what is queued after this."""
    return pinned(x, device).to(device, non_blocking=device.type == "cuda")


def on_its_way(tensors: Sequence[Tensor]) -> tuple[list[Tensor], torch.cuda.Event | None]:
    """Tensors as they come to the CPU, and the event at which those of a GPU have come; None if they are there now."""
    found = [x.to("cpu", non_blocking=True) if x.device.type == "cuda" else x.cpu() for x in tensors]
    device = next((x.device for x in tensors if x.device.type == "cuda"), None)
    if device is None:
        return found, None
    come = torch.cuda.Event()
    come.record(torch.cuda.current_stream(device))
    return found, come


class SideStream:
    """A stream of a GPU for work that is to run beside what its user does on the current one.

    Args:
        device: the GPU. On another device all runs in one order, as it is written.
    """

    def __init__(self, device: torch.device):
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    @contextmanager
    def behind(self) -> Iterator[None]:
        """What is queued inside begins when all before it is done, and runs beside what is queued after it."""
        if self.stream is None:
            yield
            return
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        with torch.cuda.stream(self.stream):
            yield

    def join(self) -> None:
        """What is queued from here on begins when all is done that was queued inside."""
        if self.stream is not None:
            torch.cuda.current_stream(self.stream.device).wait_stream(self.stream)

    def uses(self, tensors: Iterable[Tensor]) -> None:
        """Keeps the memory of tensors that were made outside from others until what was queued inside is done."""
        if self.stream is not None:
            for x in tensors:
                x.record_stream(self.stream)
