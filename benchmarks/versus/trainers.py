"""Who takes part: our recipes and the trainers of public libraries, by family of architecture."""

from dataclasses import dataclass, field
from typing import Any, Literal

LEARNING_RATES = (4e-4, 1e-3, 2.5e-3, 6e-3)
"""The rates at which every trainer is run; its default is added where it is none of them."""
TARGETS = (16, 32, 64, 128)
"""Active features per token."""
TARGET = 32
"""The sparsity at which learning rates, seeds and hook points are compared."""
MATRYOSHKA_WIDTHS = (128, 384, 896, 1920, 4096)
"""Nested widths: dictionary_learning's own fractions (1/32, 1/16, 1/8, 1/4 and the rest), for everybody."""

LIBRARIES = {"ours": "monosema", "dl": "dictionary_learning", "sl": "SAELens"}


@dataclass(frozen=True)
class Trainer:
    """A training protocol as one library offers it."""

    library: Literal["ours", "dl", "sl"]
    architecture: str
    """The recipe's name, or what the library calls it."""
    family: str
    """Trainers of one family share a panel of the pictures."""
    knob: Literal["target", "coefficient"] = "target"
    """Whether the sparsity wanted is a setting, or follows from a coefficient that has to be found."""
    default_lr: float | None = None
    """The library's own learning rate at this width; None where only the library knows it."""
    start: float = 1.0
    """Where the search for a coefficient begins: about where our own recipe of the same loss ends, in the scale of the
    library, at an L0 of 32."""
    autocast: bool = True
    """Matrix products in bfloat16."""
    settings: dict[str, Any] = field(default_factory=dict, compare=False)
    """Arguments beside the ones that all trainers of the library get."""

    @property
    def name(self) -> str:
        """As it appears in ids and tables."""
        return f"{self.library}/{self.architecture}"

    @property
    def rates(self) -> list[float | None]:
        """Learning rates to try; None stands for the default."""
        return [*([] if self.default_lr in LEARNING_RATES else [None]), *LEARNING_RATES]


def _dl(architecture: str, family: str, lr: float, **others: Any) -> Trainer:
    return Trainer("dl", architecture, family, default_lr=lr, **others)


def _sl(architecture: str, family: str, **others: Any) -> Trainer:
    return Trainer("sl", architecture, family, default_lr=3e-4, **others)


PEERS = [
    _dl("topk", "topk", 4e-4),
    _sl("topk", "topk"),
    _dl("batch_topk", "batch_topk", 4e-4),
    _sl("batchtopk", "batch_topk"),
    _dl("jumprelu", "jumprelu", 7e-5, autocast=False),
    _sl("jumprelu", "jumprelu", knob="coefficient", start=1.0, autocast=False),
    _dl("april", "l1", 1e-3, knob="coefficient", start=0.1),
    _sl("standard", "l1", knob="coefficient", start=1.5),
    _dl("gated", "gated", 5e-5, knob="coefficient", start=0.17),
    _sl("gated", "gated", knob="coefficient", start=2.7),
    _dl("matryoshka", "matryoshka", 4e-4),
    _sl("matryoshka", "matryoshka"),
    _dl("standard", "l1", 1e-3, knob="coefficient", start=0.1),
    _dl("p_anneal", "l1", 1e-3, knob="coefficient", start=0.05),
    _sl("jumprelu_quadratic", "jumprelu", autocast=False),
]

_FAMILIES = {
    "topk": ["topk", "hierarchical_topk"],
    "batch_topk": ["batch_topk"],
    "jumprelu": ["jumprelu", "jumprelu_tanh"],
    "l1": ["april_l1", "l1", "p_anneal"],
    "gated": ["gated", "gated_ri_l1", "gated_anneal"],
    "matryoshka": ["matryoshka"],
}
FAMILIES = tuple(_FAMILIES)
_AUTO = {"l1": 6e-3}
"""What `lr: auto` is at this size, where it was fitted to one of the rates above."""
OURS = [
    Trainer("ours", name, family, default_lr=_AUTO.get(name)) for family, names in _FAMILIES.items() for name in names
]
TRAINERS = {trainer.name: trainer for trainer in [*PEERS, *OURS]}
BY_FAMILY = [t for family in FAMILIES for t in [*OURS, *PEERS] if t.family == family]
"""In the order of tables: ours, then the peers, family by family."""
