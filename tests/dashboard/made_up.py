"""A provider of made-up data: realistic in size and shape, the same for the same seed."""

import math
import random
from collections.abc import Sequence
from functools import cache
from typing import Any

from monosema.dashboard.contract import (
    Columns,
    Comparison,
    Example,
    Feature,
    Group,
    Overview,
    Pair,
    Prompt,
    PromptFeature,
)
from monosema.dashboard.steer_contract import Continuation, Dose, Doses, Steered, SteerRequest
from monosema.errors import InputError

WORDS = [
    *(
        " the",
        " of",
        " and",
        " to",
        " in",
        " a",
        " is",
        " that",
        " was",
        " for",
        " on",
        " with",
        " as",
        " by",
        " at",
        " from",
    ),
    *(
        " it",
        " his",
        " her",
        " be",
        " are",
        " had",
        " have",
        ",",
        ".",
        "\n",
        " New",
        " York",
        " city",
        " river",
        " king",
    ),
    *(
        " queen",
        " house",
        " water",
        " light",
        " night",
        " year",
        " time",
        " people",
        " world",
        " music",
        " school",
        "ing",
    ),
    *("ed", "ly", "ness", "'s", " 1", " 2", " 19", "84", ' "', '"', " (", ")", ":", ";", " –", " never", " always"),
    *(" perhaps", " children", " garden", " letter", " because", " although"),
]
OTHERS = ("l1-8k", "runs/other dictionary/ü #2")
SHOWN = (20, 10)  # tokens before and after the strongest


class MadeUp:
    """Features that each like a few words; every number follows from the seed and the feature."""

    def __init__(
        self,
        width: int = 512,
        *,
        heads: int | None = 8,
        words: Sequence[str] = WORDS,
        live: bool = True,
        examples: int = 25,
        later: bool = False,
    ):
        self.width, self.heads, self.words, self.live, self.examples = width, heads, list(words), live, examples
        self.later = later  # whether what needs the model is told apart from the rest
        self.tokens = 2_097_152
        self.asked: list[Any] = []
        """What was asked for, in order."""

    def overview(self) -> Overview:
        self.asked.append("overview")
        return {
            "title": "Features of mlp_out.3",
            "dictionary": "transcoder-16k",
            "model": "pythia-70m",
            "reads": ["mlp_in.3"],
            "writes": ["mlp_out.3"],
            "width": self.width,
            "tokens": self.tokens,
            "facts": {"Recipe": "batch_topk, k 32", "FVE": "0.87", "L0": "31.9", "Text": "1,024 held-out contexts"},
            "heads": self.heads,
            "columns": self.columns(),
            "others": list(OTHERS),
            "live": self.live,
            "effects": self.later,
            "steers": self.live,
        }

    @cache  # noqa: B019
    def columns(self) -> Columns:
        features = range(self.width)
        return {
            "feature": list(features),
            "density": [self.density(i) for i in features],
            "max": [self.max(i) for i in features],
            "mean": [self.max(i) * 0.31 for i in features],
            "skew": [None if i % 97 == 5 else random.Random(i).gauss(0.4, 0.9) for i in features],
            "head": None if self.heads is None else [random.Random(i).randrange(self.heads) for i in features],
            "token": [self.liked(i)[0] if self.density(i) else "" for i in features],
            "logit": [self.liked(i)[1] for i in features],
        }

    def density(self, i: int) -> float:
        return 0.0 if i % 61 == 7 else min(10 ** random.Random(i).gauss(-3.2, 0.8), 0.4)

    def max(self, i: int) -> float:
        return random.Random(i + 1).uniform(2, 30) if self.density(i) else 0.0

    def liked(self, i: int) -> list[str]:
        return random.Random(i + 2).sample(self.words, 12)

    def feature(self, i: int) -> Feature:
        self.asked.append(("feature", i))
        if not 0 <= i < self.width:
            raise InputError(f"feature {i}", expected=f"0 to {self.width - 1}")
        chance, density, most = random.Random(i), self.density(i), self.max(i)
        others = [chance.randrange(self.width) for _ in range(30)]
        falling = [1 / (1 + 0.35 * rank) for rank in range(14)]
        groups = self.groups(i, chance) if density else []
        if self.later:
            for example in (example for group in groups for example in group["examples"]):
                example["next"] = [None] * len(example["tokens"])
                example["after"] = example["total"] = example["direct"] = example["sources"] = None
        edges = [most * step / 40 for step in range(41)]
        counts = [round(density * self.tokens * 0.16 * math.exp(-step / 5.5)) for step in range(40)]
        return {
            "feature": i,
            "descriptions": [{"text": f"on `{self.liked(i)[0]}`", "method": "rules", "score": 0.75}] if i % 5 else [],
            "density": density,
            "activations": round(density * self.tokens),
            "tokens": self.tokens,
            "mean": most * 0.31,
            "max": most,
            "histogram": {"edges": edges if density else [0.0, 1.0], "counts": counts if density else [0]},
            "logits": {
                "top": [(word, 3.1 * part) for word, part in zip(self.liked(i)[1:], falling, strict=False)],
                "bottom": [(word, -1.7 * part) for word, part in zip(self.liked(i)[::-1], falling, strict=False)],
                "skew": 1.24,
                "kurtosis": 8.1,
            },
            "reads": None
            if i % 2
            else {
                "top": [(word, 0.61 * part) for word, part in zip(self.liked(i), falling, strict=False)],
                "bottom": [(word, -0.4 * part) for word, part in zip(self.liked(i)[::-1], falling[:8], strict=False)],
                "cosine": 0.217,
            },
            "similar": [(other, 0.81 * part) for other, part in zip(others, falling, strict=False)],
            "together": [(other, 0.62 * part) for other, part in zip(others[14:], falling[:10], strict=False)],
            "apart": [(other, -0.2 * part) for other, part in zip(others[24:], falling[:5], strict=False)],
            "neurons": [
                {
                    "title": "Neurons",
                    "label": "of the MLP of layer 3 that write it",
                    "meaning": "MLP neurons whose output weights lie along the direction",
                    "entries": [(chance.randrange(2048), 0.42 * part, 0.42 * part) for part in falling[:10]],
                }
            ],
            "heads": None if self.heads is None else shares(self.heads, i),
            "groups": groups,
        }

    def groups(self, i: int, chance: random.Random) -> list[Group]:
        most, each = self.max(i), self.examples // 5
        found: list[Group] = [
            {
                "title": "Strongest",
                "note": "The contexts with the largest activations, one example of each",
                "low": None,
                "high": None,
                "share": None,
                "examples": [self.example(i, chance, most * 0.97**rank) for rank in range(self.examples - 4 * each)],
            }
        ]
        bounds = [(0.75, 1.0, 0.004), (0.5, 0.75, 0.03), (0.25, 0.5, 0.16), (0.0, 0.25, 0.806)]
        for low, high, share in bounds:
            examples = [self.example(i, chance, most * chance.uniform(max(low, 0.02), high)) for _ in range(each)]
            title = f"{low:.0%} to {high:.0%} of the maximum"
            note = "A random sample of the activations between these bounds"
            found.append(
                {
                    "title": title,
                    "note": note,
                    "low": low * most,
                    "high": high * most,
                    "share": share,
                    "examples": examples,
                }
            )
        return found

    def example(self, i: int, chance: random.Random, value: float) -> Example:
        position = chance.randrange(3, 250)
        before = min(position, SHOWN[0])
        n = before + 1 + SHOWN[1]
        tokens = [chance.choice(self.words) for _ in range(n)]
        tokens[before] = self.liked(i)[chance.randrange(2)]
        active = [chance.random() < 0.12 for _ in range(n)]
        values = [value if p == before else value * chance.random() * 0.8 * on for p, on in enumerate(active)]
        following: list[float | None] = [chance.random() ** 3 for _ in range(n)]
        total: list[float | None] = [chance.gauss(-0.35, 0.5) if v else chance.gauss(0, 0.02) for v in values]
        sources = [chance.gauss(0.3, 0.8) * value / 8 if p <= before else 0.0 for p in range(n)]
        return {
            "document": chance.randrange(20_000),
            "context": chance.randrange(1024),
            "position": position,
            "start": position - before,
            "tokens": tokens,
            "values": values,
            "strongest": before,
            "next": following,
            "after": [(p or 0) * math.exp(change or 0) for p, change in zip(following, total, strict=True)],
            "total": total,
            "direct": [(change or 0) * 0.6 for change in total],
            "sources": sources,
            "source_rest": 0.31,
        }

    def effects(self, i: int) -> list[Group]:
        self.asked.append(("effects", i))
        return MadeUp(self.width, heads=self.heads, words=self.words, examples=self.examples).feature(i)["groups"]

    def prompt(self, text: str) -> Prompt:
        self.asked.append(("prompt", text))
        if "unreadable" in text:
            raise InputError("a text of 9,999 tokens", expected="at most 2,048")
        tokens = [f"{' ' if place else ''}{word}" for place, word in enumerate(text.split(" "))]
        active = [self.fires(token) for token in tokens]
        named = {feature for own in active for feature, _ in own}
        known: dict[int, PromptFeature] = {
            i: {"max": max(self.max(i), 1.0), "token": self.liked(i)[0]} for i in sorted(named)
        }
        return {"tokens": tokens, "active": active, "features": known}

    def fires(self, token: str) -> list[tuple[int, float]]:
        chance = random.Random(repr(token))  # half a surrogate pair is no seed
        own = [(chance.randrange(self.width), chance.uniform(0.2, 9)) for _ in range(18)]
        common = (len(token) % 3, 2.0 + len(token) / 4)
        return sorted({common[0]: common[1], **dict(own)}.items(), key=lambda pair: -pair[1])

    def steer(self, asked: SteerRequest) -> Steered:
        self.asked.append(("steer", asked))
        if "unreadable" in asked.prompt:
            raise InputError("a prompt of 9,999 tokens", expected="1 to 2,047")
        features = list(dict.fromkeys(one.feature for one in asked.steers))
        prompt = [f"{' ' if place else ''}{word}" for place, word in enumerate(asked.prompt.split(" "))]
        written = {"plain": self.words * 4, "steered": self.liked(features[0]) * 20}

        def continuation(words: list[str]) -> Continuation:
            tokens = [*prompt, *words[: asked.tokens]]
            values = [[dict(self.fires(t)).get(i, 3.0 * (t in self.liked(i)[:2])) for t in tokens] for i in features]
            return {"tokens": tokens, "values": values}

        return {
            "prompt": len(prompt),
            "features": features,
            "max": [max(self.max(i), 1.0) for i in features],
            "plain": continuation(written["plain"]),
            "steered": continuation(written["steered"]),
        }

    def dose(self, feature: int, strengths: list[float]) -> Doses:
        self.asked.append(("dose", feature, strengths))
        responses: list[Dose] = [
            {
                "strength": s,
                "tokens": 0.14 * s,
                "cross_entropy": 0.0004 * s * s,
                "random_tokens": 0.02 * s,
                "random_cross_entropy": 0.0003 * s * s,
            }
            for s in strengths
        ]
        promoted = self.liked(feature)[1:11]
        return {"feature": feature, "promoted": promoted, "tokens": 1024, "controls": 3, "responses": responses}

    def search(self, text: str) -> list[int]:
        self.asked.append(("search", text))
        return [i for i in range(self.width) if any(text in word for word in self.liked(i)[:2])]

    def compare(self, name: str) -> Comparison:
        self.asked.append(("compare", name))
        self.check(name)
        cosines = [0.98 * (1 - i / self.width) for i in range(self.width)]
        pairs: list[Pair] = [
            {
                "feature": i,
                "other": (i * 7 + 3) % self.width,
                "cosine": cosine,
                "together": None if i % 9 == 4 else cosine**2,
                "token": self.liked(i)[0],
            }
            for i, cosine in enumerate(cosines)
        ]
        return {"name": name, "tokens": 131_072, "pairs": pairs}

    def other_feature(self, name: str, j: int) -> Feature:
        self.check(name)
        return self.feature(j)

    def check(self, name: str) -> None:
        if name not in OTHERS:
            raise InputError(f"no dictionary {name}", expected="l1-8k")


def shares(heads: int, i: int) -> list[float]:
    """Some heads' shares, most of them small."""
    raw = [random.Random(i * heads + head).random() ** 4 + 0.01 for head in range(heads)]
    return [one / sum(raw) for one in raw]
