"""Say in words what features stand for, by rules or by a language model, and how well that tells where they fire."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.runs.features import open_store
from monosema.runs.interpret import (
    JudgeOptions,
    chat_options,
    describe_store,
    described_table,
    described_values,
    dry_run,
    interpret_store,
)
from monosema.runs.terminal import print_table

SHOWN = 20


@dataclass(frozen=True)
class InterpretCommand:
    """Describe the features of a store: by the rule that tells best where each fires, found on half of the documents
    and scored on the other half; or, with --endpoint, by a language model, which explains them and is scored by
    detection and fuzzing. Written to descriptions.jsonl in the store, where the page and `features show` find it."""

    folder: tyro.conf.Positional[str]
    """A dictionary's folder, or a run's, with a feature store (monosema features build)."""
    features: str | None = None
    """Which features, such as 0-99,512; by default all, but for a language model they have to be named."""
    dictionary: str | None = None
    """Which of a run's dictionaries; by default the first."""
    out: Path | None = None
    """Where the store is, if not in the dictionary's folder."""
    split: Literal["documents", "contexts"] = "documents"
    """What is dealt to the two halves of the text; contexts, where there are few documents."""
    endpoint: str | None = None
    """Ask a language model at this address, in OpenAI's form: http://127.0.0.1:8000/v1."""
    model: str | None = None
    """Its name there."""
    api_key_env: str | None = None
    """The variable that holds the endpoint's key, such as OPENAI_API_KEY; by default none is sent."""
    request: str = "{}"
    """More to send with each question, as JSON; null leaves a field out that is sent otherwise (temperature,
    max_tokens)."""
    timeout: float = 120.0
    """Seconds to wait for an answer, of up to six attempts."""
    concurrency: int = 8
    """Features that are asked about at a time."""
    shown: int = 20
    """Passages that an explanation is made from."""
    scored: int = 20
    """Passages that fire, and as many that do not, that it is scored on."""
    dry_run: bool = False
    """Print the questions about one feature and the tokens that all would take, about, and ask nothing."""
    json: bool = False
    """Print JSON."""


def main(arguments: list[str]) -> None:
    """Describes, and prints how the scores are spread."""
    options = parse(InterpretCommand, arguments, "interpret")
    store = open_store(options.folder, options.dictionary, options.out)
    judge = JudgeOptions(shown=options.shown, scored=options.scored, concurrency=options.concurrency)
    if options.dry_run:
        print(dry_run(store, options.features, split=options.split, options=judge))
        return
    if options.endpoint is None:
        found = describe_store(store, options.features, split=options.split)
    else:
        chat = chat_options(options.endpoint, options.model, options.api_key_env, options.request, options.timeout)
        found = interpret_store(store, options.features, chat, split=options.split, options=judge)
    if options.json:
        print_json(described_values(found))
        return
    if len(found.descriptions) <= SHOWN:
        print("\n".join(f"{one.feature}: {one.line()}" for one in found.descriptions))
    print_table(described_table(found))
