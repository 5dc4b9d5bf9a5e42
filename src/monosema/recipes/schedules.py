"""Schedules as functions of how much of a run is done; both run from 0 to 1."""


def ramp(done: float, length: float) -> float:
    """Rises linearly from 0 at the start to 1 at `length`, and stays there."""
    return 1.0 if length <= 0 else min(done / length, 1.0)


def decay(done: float, length: float) -> float:
    """Stays at 1, then falls linearly over the last `length`, to 0 at the end, and stays there."""
    return 1.0 if length <= 0 else min(max(1.0 - done, 0.0) / length, 1.0)
