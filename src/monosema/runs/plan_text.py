"""A plan as one reads it, and as JSON."""

from collections.abc import Iterable, Mapping
from typing import Any

from monosema.config import to_dict
from monosema.planning import Hardware, Plan, Workload
from monosema.planning.workload import stored_bytes
from monosema.runs.plan import gib

TITLE = 15
"""Characters of the first column."""
WORTH_IT = 0.9
"""Share of the time below which another way to lay out devices is named."""


def lines_of(work: Workload, hardware: Hardware, name: str, chosen: Plan, other: Plan) -> list[str]:
    """What a plan says, line by line.

    Args:
        work: what the run has to do.
        hardware: where.
        name: what that is called.
        chosen: the plan as the run is configured.
        other: the best plan on as many devices.
    """
    return [
        *_workload(work),
        _row("hardware", f"{chosen.mesh.ranks} × {name}{_rates(hardware)}"),
        _row("parallel", _mesh(chosen)),
        "",
        _row("time", f"{duration(chosen.duration)}: {_parts(chosen.seconds, duration)}"),
        _row("", f"{work.tokens / chosen.duration:,.0f} tokens a second"),
        _row("each device", f"{gib(sum(chosen.device.values()))} of {gib(chosen.device_memory)}"),
        _row("", _parts(chosen.device, gib)),
        _row("each machine", f"{gib(sum(chosen.host.values()))} of {gib(chosen.host_memory)}"),
        _row("", _parts(chosen.host, gib)),
        _row("disk", _parts(chosen.disk, gib)),
        _row("", _store(work)),
        "",
        _advice(chosen, other),
        "Not counted: starting up, filling the buffer, measuring at the end. Nothing is taken to overlap.",
    ]


def as_json(work: Workload, hardware: Hardware, chosen: Plan, other: Plan) -> dict[str, Any]:
    """The same figures, in seconds and bytes."""
    return {
        "workload": to_dict(work),
        "hardware": to_dict(hardware),
        "plan": _figures(chosen),
        "best": _figures(other),
        "store_bytes": {dtype: work.tokens * stored_bytes(work.points, dtype) for dtype in ("bfloat16", "int8")},
    }


def duration(seconds: float) -> str:
    """A time as one reads it."""
    for unit, size in {"days": 86_400, "hours": 3600, "minutes": 60}.items():
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} seconds"


def _figures(plan: Plan) -> dict[str, Any]:
    return to_dict(plan) | {"duration": plan.duration, "fits": plan.fits}


def _workload(work: Workload) -> Iterable[str]:
    if work.model is not None:
        model = work.model
        yield _row(
            "model",
            f"{gib(model.weights)} of weights; {count(model.parameters_run)} parameters run, "
            f"{count(model.flops)}FLOP a token",
        )
    shapes = work.dictionaries.values()
    widths = sorted({shape.width for shape in shapes})
    yield _row(
        "dictionaries",
        f"{len(shapes)} of width {' to '.join(f'{w:,}' for w in dict.fromkeys((widths[0], widths[-1])))}, "
        f"{count(sum(shape.parameters for shape in shapes))} parameters in all",
    )
    yield _row("tokens", f"{work.tokens:,} in {work.tokens // work.batch_size:,} steps of {work.batch_size:,}")


def _rates(hardware: Hardware) -> str:
    return (
        f", {hardware.flops / 1e12:,.4g} TFLOP/s ({hardware.efficiency:.0%} reached) and "
        f"{hardware.bandwidth / 1e9:,.4g} GB/s ({hardware.byte_efficiency:.0%}) each"
    )


def _mesh(plan: Plan) -> str:
    mesh = plan.mesh
    return f"data {mesh.data} · spread {mesh.spread} · feature {mesh.feature}"


def _store(work: Workload) -> str:
    if work.stored is not None:
        return f"the store is read, {work.stored:,} bytes a token"
    sizes = (f"{gib(work.tokens * stored_bytes(work.points, t))} as {t}" for t in ("bfloat16", "int8"))
    return f"a store of these tokens would take {' or '.join(sizes)}"


def _advice(chosen: Plan, other: Plan) -> str:
    if not other.fits:
        return "It does not fit, however as many devices are laid out."
    if chosen.fits and chosen.mesh.ranks == 1:
        return "It fits."
    if chosen.fits and other.duration > WORTH_IT * chosen.duration:
        return "It fits, and no other way to lay out as many devices is much faster."
    saved = f"parallel: {{feature: {other.mesh.feature}, spread: {other.mesh.spread}}}"
    which = "It fits." if chosen.fits else "It does not fit."
    return f"{which} {saved} takes {duration(other.duration)} and {gib(sum(other.device.values()))} of each device."


def _parts(parts: Mapping[str, float], shown: Any) -> str:
    return ", ".join(f"{what} {shown(size)}" for what, size in parts.items() if size)


def _row(title: str, text: str) -> str:
    return f"{title:<{TITLE}}{text}"


def count(number: float) -> str:
    """A number with the prefix that suits it."""
    for sign, size in {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3}.items():
        if number >= size:
            return f"{number / size:,.3g} {sign}"
    return f"{number:,.0f} "
