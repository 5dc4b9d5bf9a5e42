"""Answers that were paid for, kept on disk: a run that is killed and started again asks nothing twice."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from monosema.config import from_dict
from monosema.errors import InputError

_BEGIN = b'{"asked": "'
"""How each line begins."""


@dataclass(frozen=True)
class Answer:
    """What a model answered, and the tokens that it took; None where the endpoint does not say."""

    text: str
    prompt_tokens: int | None = None
    answer_tokens: int | None = None


class AnswerCache:
    """A file of a line for each answer, by what was asked. Lines are added whole, and one that was cut off is left out.

    Args:
        path: of the file; made with the first answer.

    Raises:
        InputError: it holds something else.
    """

    def __init__(self, path: Path):
        self.path, self._lock = path, Lock()
        self._known: dict[str, Answer] = {}
        self._mend = False  # whether the file ends in a line that was cut off
        if path.is_file():
            self._read(path.read_bytes())

    def _read(self, data: bytes) -> None:
        self._mend = not data.endswith(b"\n") and bool(data)
        for number, line in enumerate(data.split(b"\n"), 1):
            found = self._entry(line, f"{self.path}, line {number}") if line else None
            if found is not None:
                self._known[found[0]] = found[1]

    def _entry(self, line: bytes, where: str) -> tuple[str, Answer] | None:
        """What was asked and answered; None where the line was cut off, which then is no JSON."""
        try:
            entry = json.loads(line)
            return str(entry["asked"]), from_dict(Answer, entry["answer"], where)
        except (ValueError, TypeError, KeyError) as error:
            if isinstance(error, ValueError) and line.startswith(_BEGIN[: len(line)]) and not line.endswith(b"}"):
                return None
            raise InputError(f"{where}, holds no answer", hint="remove the file, or the line") from None

    def __len__(self) -> int:
        return len(self._known)

    def get(self, request: Any) -> Answer | None:
        """The answer to a request, if it is known."""
        return self._known.get(digest(request))

    def add(self, request: Any, answer: Answer) -> None:
        """Keeps an answer, on the disk before this returns."""
        line = json.dumps({"asked": digest(request), "answer": asdict(answer)}) + "\n"
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab") as file:
                file.write(b"\n" * self._mend + line.encode())
                file.flush()
                os.fsync(file.fileno())
            self._mend = False
            self._known[digest(request)] = answer


def digest(request: Any) -> str:
    """A request as a key: all that was sent but the key of the endpoint."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
