"""The model that a run reads, or the two of them: loaded, or only described."""

from monosema.models import LoadedModel, ModelPair, Readable, blueprint, load_model
from monosema.runs.read_config import ReadConfig


def models_of(config: ReadConfig, device: str) -> Readable:
    """The model that a configuration names, loaded, or both of them.

    Raises:
        InputError: one of them cannot be loaded, or they do not share a tokenizer.
    """
    model = load_model(config.model, revision=config.revision, dtype=config.dtype, device=device)
    return with_second(model, config.second, config.second_revision, device)


def with_second(model: LoadedModel, second: str | None, revision: str | None, device: str) -> Readable:
    """A model beside a second one, if there is one, which is loaded as precise as the first.

    Raises:
        InputError: it cannot be loaded, or does not share the tokenizer.
    """
    if second is None:
        return model
    return ModelPair(model, load_model(second, revision=revision, dtype=model.dtype, device=device))


def blueprints_of(config: ReadConfig, *, fast16: bool) -> Readable:
    """The same without weights and tokenizers, on the meta device.

    Raises:
        InputError: there is no such configuration, or no model can be built from it.
    """
    model = blueprint(config.model, revision=config.revision, dtype=config.dtype, fast16=fast16)
    if config.second is None:
        return model
    same = str(model.dtype).removeprefix("torch.")
    return ModelPair(model, blueprint(config.second, revision=config.second_revision, dtype=same))
