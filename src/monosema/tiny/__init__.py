"""The embedded language model and its corpus: real text and a real model on every machine, without a download."""

from pathlib import Path

from monosema.tiny.corpus import Document, Split, corpus, documents, split_of

PATH = Path(__file__).parent / "model"
"""The folder of the embedded model, in Hugging Face format."""

__all__ = ["PATH", "Document", "Split", "corpus", "documents", "split_of"]
