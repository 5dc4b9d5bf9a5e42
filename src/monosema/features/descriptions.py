"""What has been said of features in words, in a file beside the store's others: `descriptions.jsonl`."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from monosema.analysis.render import one_line
from monosema.config import from_dict
from monosema.errors import InputError
from monosema.files import write_text

DESCRIPTIONS = "descriptions.jsonl"


@dataclass(frozen=True)
class Description:
    """A feature in words, and how well these tell where it fires."""

    feature: int
    method: str
    """What wrote it: "rules", or the name of a language model."""
    text: str
    score: float | None
    """Balanced accuracy on held-out examples, of which half fire: 1 is perfect, 0.5 is chance. None: not scored."""
    interval: tuple[float, float] | None = None
    """95 % of the score."""
    figures: dict[str, Any] = field(default_factory=dict)
    """Further figures, by name."""

    def line(self) -> str:
        """The description and its score in a line for a terminal."""
        said = f"{one_line(self.text)}  ({one_line(self.method)}"
        if self.score is None or self.interval is None:
            return f"{said}; not scored)"
        low, high = self.interval
        return f"{said}; score {self.score:.2f}, {low:.2f} to {high:.2f})"


def read_descriptions(folder: Path) -> dict[int, list[Description]]:
    """The descriptions in a store's folder, by feature, in the order of the methods' names; empty where there are none.

    Raises:
        InputError: the file is damaged.
    """
    path, found = folder / DESCRIPTIONS, {}
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")  # of which other line ends are no ends
    for number, line in enumerate(lines if lines != [""] else [], 1):
        try:
            data = json.loads(line)
        except ValueError as error:
            raise InputError(
                f"{path}, line {number}, is not JSON ({error})", hint="remove the file, and interpret again"
            ) from None
        description = from_dict(Description, data, f"{path}, line {number}")
        found.setdefault(description.feature, []).append(description)
    return found


def write_descriptions(folder: Path, descriptions: Iterable[Description]) -> Path:
    """Writes descriptions, in place of those of the same features by the same methods that are there; others stay.

    Raises:
        InputError: the file that is there is damaged.
        OSError: it cannot be written.
    """
    kept = {(d.feature, d.method): d for own in read_descriptions(folder).values() for d in own}
    kept |= {(d.feature, d.method): d for d in descriptions}
    lines = (json.dumps(asdict(kept[key]), ensure_ascii=False, allow_nan=False) + "\n" for key in sorted(kept))
    write_text(folder / DESCRIPTIONS, "".join(lines))
    return folder / DESCRIPTIONS
