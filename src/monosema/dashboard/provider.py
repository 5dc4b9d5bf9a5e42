"""What the page shows, from a feature store, its dictionary and its model."""

from collections.abc import Mapping
from copy import deepcopy
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from monosema.activations.filters import not_special
from monosema.activations.tokens import TokeniseDocuments
from monosema.analysis import TokenTexts
from monosema.analysis.aligned import NeuronsBeside, neurons_beside
from monosema.dashboard.comparison import compared
from monosema.dashboard.contract import Columns, Comparison, Group, Overview, Prompt
from monosema.dashboard.contract import Feature as FeatureView
from monosema.dashboard.effects import add_effects, can_remove, reads_heads, why_no_sources
from monosema.dashboard.examples import example_groups
from monosema.dashboard.make_up import heads_of, neurons_of, reads_of
from monosema.dashboard.steer import can_steer, doses, steered_text
from monosema.dashboard.steer_contract import Doses, Steered, SteerRequest
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.features import Feature, FeatureStore
from monosema.models import read

if TYPE_CHECKING:
    from monosema.models import Readable

KEPT = 256
"""Features whose examples are kept in memory."""
COMPARED = 8
"""Comparisons that are kept in memory."""
FOUND = 500
"""Features that a search returns at most."""
PROMPT_FEATURES = 20
"""Features of a token that a prompt shows, the strongest."""
PROMPT_TOKENS = 2048


class StoreProvider:
    """Answers the page from a feature store.

    Args:
        store: of the dictionary.
        dictionary: in evaluation mode.
        model: that it was trained on, to measure effects and read prompts.
        others: further stores of the same model with their dictionaries, by name, to compare with.
    """

    def __init__(
        self,
        store: FeatureStore,
        dictionary: Dictionary,
        model: "Readable",
        others: "Mapping[str, StoreProvider] | None" = None,
    ):
        self.store, self.dictionary, self.model = store, dictionary, model
        self.others = dict(others or {})
        self._groups = lru_cache(maxsize=KEPT)(self._groups_of)
        self._effects = lru_cache(maxsize=KEPT)(self._effects_of)
        self._compare = lru_cache(maxsize=COMPARED)(self._comparison)

    @property
    def name(self) -> str:
        """Of the dictionary."""
        return str(self.store.index.dictionary["name"])

    def overview(self) -> Overview:
        """The dictionary as a whole."""
        index, spec = self.store.index, self.dictionary.spec
        heads = self._heads
        facts = {
            "Text": index.text or "unknown",
            "Activation function": self.dictionary.activation.name,
            "Activations": f"{index.activations:,}",
            "L0": f"{index.activations / index.counted:.1f}",
            "Never active": f"{int((self.store.column('activations') == 0).sum()):,}",
        }
        if self._no_sources:
            facts["Source positions"] = f"not shown: {self._no_sources}"
        return {
            "title": f"{self.name} · {index.model}",
            "dictionary": self.name,
            "model": index.model,
            "reads": list(spec.reads),
            "writes": list(spec.writes),
            "width": spec.width,
            "tokens": index.counted,
            "facts": facts,
            "heads": None if heads is None else heads.shape[1],
            "columns": self._columns(heads),
            "others": list(self.others),
            "live": self.model.tokenizer is not None,
            "steers": can_steer(self.dictionary, self.model),
            "effects": can_remove(self.dictionary, self.model) or self._has_sources,
        }

    def _columns(self, heads: np.ndarray | None) -> Columns:
        table = self.store.table(["density", "high", "mean", "strongest_token", "skewness", "promoted"])
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
        known = columns["promoted"][0] is not None
        return {
            "feature": list(range(len(self.store))),
            "density": columns["density"],
            "max": [round(x, 4) for x in columns["high"]],
            "mean": [round(x, 4) for x in columns["mean"]],
            "skew": [None if x is None else round(x, 3) for x in columns["skewness"]],
            "head": None if heads is None else heads.argmax(1).tolist(),
            "token": columns["strongest_token"],
            "logit": columns["promoted"] if known else None,
        }

    def feature(self, i: int) -> FeatureView:
        """All that the store knows of a feature."""
        row = self.store.feature(i)
        heads = self._heads
        edges = np.linspace(row.low, row.high, len(row.histogram) + 1) if row.activations else np.linspace(0, 1, 2)
        return {
            "feature": i,
            "descriptions": [
                {"text": d.text, "method": d.method, "score": d.score} for d in self.store.descriptions(i)
            ],
            "density": row.density,
            "activations": row.activations,
            "tokens": self.store.index.counted,
            "mean": row.mean,
            "max": row.high,
            "histogram": {"edges": edges.tolist(), "counts": row.histogram if row.activations else [0]},
            "logits": _logits(row),
            "reads": reads_of(self.dictionary, self.model, i),
            "similar": _pairs(row.similar),
            "together": _pairs(row.together),
            "apart": _pairs(row.apart),
            "neurons": neurons_of(self.dictionary, self.model, i, self._beside),
            "heads": None if heads is None else heads[i].tolist(),
            "groups": self._groups(i),
        }

    def effects(self, i: int) -> list[Group]:
        """The groups of its examples, with what removing it would change, and the source tokens of attention."""
        return self._effects(i)

    def _groups_of(self, i: int) -> list[Group]:
        row = self.store.feature(i)
        return example_groups(self.store, row, self.store.activations(row))

    def _effects_of(self, i: int) -> list[Group]:
        groups = deepcopy(self._groups(i))
        examples = [example for group in groups for example in group["examples"]]
        add_effects(self.store, self.dictionary, self.model, i, examples, sources=self._has_sources)
        return groups

    @torch.no_grad()
    def prompt(self, text: str) -> Prompt:
        """Which features fire on a text."""
        tokenizer = self.model.tokenizer
        ids = [] if tokenizer is None else TokeniseDocuments(tokenizer)([text])[0]
        if not ids:
            raise InputError("a prompt without tokens", expected="some text, and a model with a tokenizer")
        longest = min(self.model.max_context or PROMPT_TOKENS, PROMPT_TOKENS)
        if len(ids) > longest:
            raise InputError(f"a prompt of {len(ids)} tokens", expected=f"at most {longest}, which the model reads")
        row = torch.tensor([ids])
        point = " & ".join(self.dictionary.spec.reads)
        x = read(self.model, row, [point])[point][0].to(self.dictionary.W_enc)
        codes = self.dictionary.active_entries(x)
        kept = not_special(row, self.model.special_ids)[0].tolist()
        ends = codes.offsets.tolist()
        active = [
            _strongest(codes.columns[a:b], codes.values[a:b]) if counts else []
            for counts, a, b in zip(kept, ends[:-1], ends[1:], strict=True)
        ]
        shown = sorted({feature for pairs in active for feature, _ in pairs})
        high, token = self._strongest
        return {
            "tokens": TokenTexts(tokenizer)(ids),
            "active": active,
            "features": {feature: {"max": high[feature], "token": token[feature]} for feature in shown},
        }

    def steer(self, asked: SteerRequest) -> Steered:
        """What the model writes with and without features steered."""
        return steered_text(self.store, self.dictionary, self.model, asked)

    def dose(self, feature: int, strengths: list[float]) -> Doses:
        """What stronger and stronger steering of one feature does."""
        return doses(self.store, self.dictionary, self.model, feature, strengths)

    @cached_property
    def _heads(self) -> np.ndarray | None:
        return heads_of(self.store, self.dictionary, self.model)

    @cached_property
    def _beside(self) -> NeuronsBeside | None:
        return neurons_beside(self.dictionary, self.model)

    @cached_property
    def _no_sources(self) -> str | None:
        """Why source tokens are not shown of a dictionary that reads attention outputs."""
        return why_no_sources(self.dictionary, self.model) if reads_heads(self.dictionary) else None

    @property
    def _has_sources(self) -> bool:
        return reads_heads(self.dictionary) and self._no_sources is None

    @cached_property
    def _strongest(self) -> tuple[list[float], list[str]]:
        table = self.store.table(["high", "strongest_token"])
        return table.column(0).to_pylist(), table.column(1).to_pylist()

    def search(self, text: str) -> list[int]:
        """The features with a text among their examples' tokens or the logits that they promote or suppress."""
        features = self.store.search(text)
        return features[np.argsort(-self.store.column("density")[features], kind="stable")][:FOUND].tolist()

    def compare(self, name: str) -> Comparison:
        """Each feature beside the one of another dictionary whose direction is most like its own."""
        return self._compare(name)

    def other_feature(self, name: str, j: int) -> FeatureView:
        """One feature of another dictionary."""
        return self._other(name).feature(j)

    def _comparison(self, name: str) -> Comparison:
        return compared(name, self, self._other(name))

    def _other(self, name: str) -> "StoreProvider":
        if name not in self.others:
            raise InputError(f"dictionary {name!r}", expected=f"one of {', '.join(self.others) or 'none'}")
        return self.others[name]


def _pairs(neighbours: list[dict[str, Any]]) -> list[tuple[int, float]]:
    return [(pair["feature"], round(pair["figure"], 4)) for pair in neighbours]


def _strongest(columns: torch.Tensor, values: torch.Tensor) -> list[tuple[int, float]]:
    best = values.abs().argsort(descending=True, stable=True)[:PROMPT_FEATURES]
    return [(int(columns[i]), round(float(values[i]), 4)) for i in best]


def _logits(row: Feature) -> Any:
    if row.skewness is None:
        return None
    return {
        "top": [(pair["text"], round(pair["value"], 4)) for pair in row.promotes],
        "bottom": [(pair["text"], round(pair["value"], 4)) for pair in row.suppresses],
        "skew": row.skewness,
        "kurtosis": row.kurtosis,
    }
