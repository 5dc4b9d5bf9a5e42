"""What is known so far: lines of JSON, one for each thing found out about a run; the lines of one id add up."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "results"
Record = dict[str, Any]


def newest() -> Path:
    """The results of the latest date, or those of today where there are none."""
    found = sorted(FOLDER.glob("quality-*.jsonl"))
    return found[-1] if found else FOLDER / f"quality-{date.today().isoformat()}.jsonl"


@dataclass
class Results:
    """Records by id. Lines are appended whole, so that several processes may write one file."""

    path: Path
    records: dict[str, Record] = field(default_factory=dict)

    def __post_init__(self):
        self.read()

    def read(self) -> None:
        """Reads the file again."""
        self.records = {}
        if not self.path.exists():
            return
        for line in self.path.read_text().splitlines():
            found = json.loads(line)
            if found.get("dropped"):
                self.records.pop(found["id"], None)
            else:
                self.records.setdefault(found["id"], {}).update(found)

    def add(self, **found: Any) -> None:
        """Appends what was found out about the run `id`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(found) + "\n")
        self.read()

    def tries(self, cell: str) -> list[Record]:
        """The runs of a cell that came to an end, in their order."""
        return [r for r in self._of(cell) if "failed" not in r]

    def started(self, cell: str) -> int:
        """How many runs were made, failed ones among them."""
        return len(list(self._of(cell)))

    def failed(self, cell: str) -> bool:
        """Whether a run of the cell failed."""
        return any("failed" in r for r in self._of(cell))

    def best_try(self, cell: str) -> Record | None:
        """The run whose sparsity is nearest to what was wanted."""
        return min(self.tries(cell), key=lambda r: abs(math.log(l0(r) / r["target"])), default=None)

    def _of(self, cell: str) -> Iterator[Record]:
        return (r for name, r in sorted(self.records.items()) if name.startswith(f"{cell}/try"))


def l0(record: Record) -> float:
    """Active features per held-out token; never quite zero, so that it has a logarithm."""
    return max(record.get("metrics", record["quick"])["l0"], 1e-3)


def fve(record: Record) -> float:
    """Fraction of held-out variance explained."""
    return record.get("metrics", record["quick"])["fve"]
