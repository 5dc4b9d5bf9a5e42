"""How the processes of one run share its work."""

from dataclasses import dataclass

from monosema.errors import InputError


@dataclass(frozen=True)
class Parallel:
    """How a run's processes share its dictionaries; all that is left over divides the batch."""

    feature: int = 1
    """Processes that share one dictionary: each holds a part of its features, with their weights and optimiser."""
    spread: int = 1
    """Groups of processes among which the dictionaries are dealt out, so that each trains a part of them."""

    def __post_init__(self):
        for name in ("feature", "spread"):
            if getattr(self, name) < 1:
                raise InputError(f"parallel.{name} = {getattr(self, name)}", expected="at least 1")
