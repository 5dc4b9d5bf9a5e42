"""What the page asks for, and the form of each answer: plain values, as they will be in JSON.

Numbers are finite; `None` stands for what is not known or does not exist. A list of pairs is sorted, strongest first.
"""

from typing import TYPE_CHECKING, Protocol, TypeAlias, TypedDict

if TYPE_CHECKING:
    from monosema.dashboard.steer_contract import Doses, Steered, SteerRequest

Weighted: TypeAlias = list[tuple[str, float]]
"""Texts of tokens, each with a value."""
Related: TypeAlias = list[tuple[int, float]]
"""Features, each with a value."""


class Columns(TypedDict):
    """A few figures of every feature: the table of all. Each list has `width` entries."""

    feature: list[int]
    density: list[float]
    """Share of the store's tokens on which it fires."""
    max: list[float]
    mean: list[float]
    """Where it fires."""
    skew: list[float | None]
    """Of its logits."""
    head: list[int] | None
    """The head with the largest share."""
    token: list[str]
    """The token that it is strongest on; empty if it never fires."""
    logit: list[str] | None
    """The token that it promotes most."""


class Overview(TypedDict):
    """What is known of a dictionary as a whole."""

    title: str
    dictionary: str
    model: str
    reads: list[str]
    writes: list[str]
    width: int
    tokens: int
    """Of the store, from which all figures and examples come."""
    facts: dict[str, str]
    """Anything else worth saying, by its label."""
    heads: int | None
    columns: Columns
    others: list[str]
    """Names of dictionaries that it can be compared to."""
    live: bool
    """Whether a model is there to read a prompt."""
    effects: bool
    """Whether `effects` has more to say of examples than `feature`."""
    steers: bool
    """Whether features can be steered while a model writes."""


class Histogram(TypedDict):
    """How often a feature's activation lies in each of n intervals; inactive tokens are left out."""

    edges: list[float]
    """n + 1 of them, ascending."""
    counts: list[int]


class Logits(TypedDict):
    """What a feature's direction adds to the logits of the vocabulary."""

    top: Weighted
    bottom: Weighted
    """The most negative, most negative first."""
    skew: float | None
    kurtosis: float | None


class Reads(TypedDict):
    """Which tokens a transcoder's encoder reads: the encoder's direction against each token's embedding."""

    top: Weighted
    bottom: Weighted
    cosine: float | None
    """Between what the feature reads and what it writes."""


class Neurons(TypedDict):
    """The neurons that a feature is made of, or the entries of its direction where no neurons are known."""

    title: str
    label: str
    """Which they are, and what they do."""
    meaning: str
    """What the numbers say."""
    entries: list[tuple[int, float, float]]
    """Index, number, and how large that is, from 0 to 1; largest first."""


class Example(TypedDict):
    """A piece of text with a feature's value on every token. All lists but `sources` may hold `None`.

    Entry p of `next`, `after`, `total` and `direct` is about the token that follows token p. A change is what removing
    the feature does, so it is negative where the feature makes that token likelier.
    """

    document: int
    context: int
    position: int
    """Of the strongest token shown, in its context."""
    start: int
    """Position of the first token shown, in its context."""
    tokens: list[str]
    values: list[float]
    strongest: int
    """Which of the tokens shown."""
    next: list[float | None]
    """Probability of the token that follows."""
    after: list[float | None] | None
    """The same with the feature removed and the model run again."""
    total: list[float | None] | None
    """log `after` − log `next`."""
    direct: list[float | None] | None
    """The same change, through the residual stream alone."""
    sources: list[float] | None
    """How much each token shown contributes to the feature at the strongest one."""
    source_rest: float | None
    """The sum of that over the tokens that are not shown."""


class Group(TypedDict):
    """Examples that were chosen in one way: the strongest, say, or a sample of an interval of activation."""

    title: str
    note: str
    """How they were chosen."""
    low: float | None
    high: float | None
    share: float | None
    """Share of the feature's activations that lie between the two."""
    examples: list[Example]


class Words(TypedDict):
    """A feature in words, and how well these tell where it fires."""

    text: str
    method: str
    """What wrote it: rules, or the name of a language model."""
    score: float | None
    """Balanced accuracy of detection on held-out text; 0.5 is chance."""


class Feature(TypedDict):
    """All that is known of a feature."""

    feature: int
    descriptions: list[Words]
    density: float
    activations: int
    tokens: int
    mean: float
    max: float
    histogram: Histogram
    logits: Logits | None
    reads: Reads | None
    similar: Related
    """By the cosine of directions."""
    together: Related
    """By the correlation of firing."""
    apart: Related
    """The most negative correlations, most negative first."""
    neurons: list[Neurons]
    heads: list[float] | None
    """Share of each head."""
    groups: list[Group]


class PromptFeature(TypedDict):
    """What the prompt view says of a feature."""

    max: float
    """Over the store."""
    token: str
    """The token that it is strongest on, in the store."""


class Prompt(TypedDict):
    """A text that the model has read."""

    tokens: list[str]
    active: list[Related]
    """For each token, the features that fire on it."""
    features: dict[int, PromptFeature]


class _Pair(TypedDict):
    feature: int
    other: int
    """The feature of the other dictionary."""
    cosine: float
    together: float | None
    """Correlation of firing."""


class Pair(_Pair, total=False):
    """Two features that are alike, of two dictionaries."""

    token: str
    """The token that the other one is strongest on, if known."""


class Comparison(TypedDict):
    """The features of this dictionary beside those of another."""

    name: str
    tokens: int | None
    """On which the two were counted to fire together."""
    pairs: list[Pair]
    """Most alike first."""


class Provider(Protocol):
    """What the page asks for, one thing at a time; the page shows the message of an InputError."""

    def overview(self) -> Overview:
        """The dictionary as a whole; asked for once."""
        ...

    def feature(self, i: int) -> Feature:
        """One feature.

        Raises:
            InputError: there is no such feature.
        """
        ...

    def effects(self, i: int) -> list[Group]:
        """The same groups of examples, with what the model has to be run again for; asked for after the feature.

        Raises:
            InputError: there is no such feature.
        """
        ...

    def prompt(self, text: str) -> Prompt:
        """What fires on a text; asked for only where the overview is live.

        Raises:
            InputError: the model cannot read the text.
        """
        ...

    def search(self, text: str) -> list[int]:
        """The features whose strongest tokens, examples or logits contain a text."""
        ...

    def compare(self, name: str) -> Comparison:
        """The features beside those of another dictionary.

        Raises:
            InputError: there is no such dictionary.
        """
        ...

    def other_feature(self, name: str, j: int) -> Feature:
        """One feature of another dictionary.

        Raises:
            InputError: there is no such dictionary or feature.
        """
        ...

    def steer(self, asked: "SteerRequest") -> "Steered":
        """What the model writes with and without features steered; asked for only where the overview steers.

        Raises:
            InputError: the model cannot be steered so.
        """
        ...

    def dose(self, feature: int, strengths: list[float]) -> "Doses":
        """What stronger and stronger steering of one feature does; asked for only where the overview steers.

        Raises:
            InputError: the model cannot be steered so.
        """
        ...
