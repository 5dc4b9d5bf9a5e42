"""Texts that try to be more than text."""

from typing import Any

from monosema.dashboard.contract import Feature, Overview
from tests.dashboard.made_up import MadeUp

SCRIPT = "</script><script>window.hit = 1</script>"
IMAGE = "<img src=x onerror='window.hit = 2'>"
WORDS = [
    SCRIPT,
    IMAGE,
    "<!--<script>",
    "]]>&lt;&amp;",
    "javascript:window.hit=3",
    "$script${title}",
    "\u202egnp.exe\u202c",
    "\u2066\u2067nested",
    " שלום",
    " العربية",
    "👩‍👩‍👧‍👦",
    "🏴\U000e0067\U000e0062\U000e007f",
    "\n\n",
    "\r\n",
    "\t",
    "\u2028",
    "\0\x1b[31m\x07",
    "\ud83d",
    "",
    " ",
    "   ",
    "é" * 3,
    "Ж" * 600,
    " __proto__",
]


class Hostile(MadeUp):
    """Everything that can be text is hostile."""

    def __init__(self, width: int = 40, **options: Any):
        super().__init__(width, words=WORDS, **options)

    def overview(self) -> Overview:
        return {
            **super().overview(),
            "title": SCRIPT + IMAGE,
            "dictionary": IMAGE,
            "model": SCRIPT,
            "reads": [IMAGE],
            "facts": {SCRIPT: IMAGE},
        }

    def feature(self, i: int) -> Feature:
        found = super().feature(i)
        for group in found["groups"]:
            group["title"] = group["note"] = SCRIPT + IMAGE
        found["neurons"][0]["title"] = found["neurons"][0]["label"] = IMAGE
        return found
