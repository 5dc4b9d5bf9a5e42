"""What the page asks for of steering, as far as it may, and the form of each answer."""

from dataclasses import dataclass
from typing import Any, TypedDict

from monosema.analysis.steering import Steer
from monosema.errors import InputError

FEATURES, WRITTEN, STRENGTHS = 8, 200, 12
"""At most: features steered at once, tokens written, strengths measured."""
LARGEST, TEMPERATURES = 1e6, (0.01, 100.0)
"""A strength, in absolute value; and a temperature that is not 0. Beyond these a model's numbers may overflow."""
_NEEDED = '{"prompt": "…", "steers": [{"feature": 12, "mode": "add", "value": 40}]}'


@dataclass(frozen=True)
class SteerRequest:
    """What the page asks to be written."""

    prompt: str
    steers: tuple[Steer, ...]
    tokens: int = 40
    temperature: float = 0.0
    seed: int = 0

    @classmethod
    def of(cls, given: Any) -> "SteerRequest":
        """What a request's JSON asks for.

        Raises:
            InputError: it asks for nothing, or for more than a page may.
        """
        steers = _entry(given, "steers", list)
        if not 1 <= len(steers) <= FEATURES:
            raise InputError(f"{len(steers)} features to steer", expected=f"1 to {FEATURES}")
        made = tuple(
            Steer(_entry(s, "feature", int), _number(s, "value", 0.0), _entry(s, "mode", str, "add")) for s in steers
        )
        tokens, seed = _entry(given, "tokens", int, cls.tokens), _entry(given, "seed", int, cls.seed)
        if not 1 <= tokens <= WRITTEN:
            raise InputError(f"{tokens} tokens to write", expected=f"1 to {WRITTEN}")
        if not 0 <= seed < 2**63:
            raise InputError(f"seed {seed}", expected="a number from 0")
        temperature = _number(given, "temperature", cls.temperature)
        if temperature and not TEMPERATURES[0] <= temperature <= TEMPERATURES[1]:
            raise InputError(f"temperature {temperature:g}", expected=f"0, or {' to '.join(map(str, TEMPERATURES))}")
        return cls(_entry(given, "prompt", str), made, tokens, temperature, seed)


def dose_request(given: Any) -> tuple[int, list[float]]:
    """The feature, and the strengths, that a request's JSON asks for.

    Raises:
        InputError: it asks for none, or for more than a page may.
    """
    strengths = _entry(given, "strengths", list)
    if not 1 <= len(strengths) <= STRENGTHS:
        raise InputError(f"{len(strengths)} strengths", expected=f"1 to {STRENGTHS}")
    return _entry(given, "feature", int), sorted(_number({"strength": one}, "strength") for one in strengths)


class Continuation(TypedDict):
    """A prompt, and what a model has written after it."""

    tokens: list[str]
    values: list[list[float]]
    """Of each feature, its activation on every token as the model reads them, without steering."""


class Steered(TypedDict):
    """What the model writes as it is, and while features are steered."""

    prompt: int
    """Tokens of the prompt."""
    features: list[int]
    max: list[float]
    """Of each feature, over the store."""
    plain: Continuation
    steered: Continuation


class Dose(TypedDict):
    """What adding strength × direction at every token changes, in nats."""

    strength: float
    tokens: float
    """The log-probability of the feature's tokens, all of them together."""
    cross_entropy: float
    random_tokens: float
    """The same two for random directions of the same norm, on average."""
    random_cross_entropy: float


class Doses(TypedDict):
    """Dose and response of a feature."""

    feature: int
    promoted: list[str]
    """The feature's tokens: those that it promotes most."""
    tokens: int
    """That it was measured on."""
    controls: int
    """Random directions."""
    responses: list[Dose]


def _entry(given: Any, name: str, kind: type, default: Any = None) -> Any:
    value = given.get(name, default) if isinstance(given, dict) else None
    if type(value) is not kind:
        raise InputError(f"{name} {value!r} in a request", expected=f"such as {_NEEDED}")
    return value


def _number(given: Any, name: str, default: float | None = None) -> float:
    value: Any = given.get(name, default) if isinstance(given, dict) else None
    if type(value) not in (int, float) or not abs(value) <= LARGEST:
        raise InputError(f"{name} {value!r:.40} in a request", expected=f"a number of at most {LARGEST:g}")
    return float(value)
