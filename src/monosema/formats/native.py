"""monosema's own format: `dictionary.json` and `dictionary.safetensors`."""

from monosema.dictionaries import load, save
from monosema.dictionaries.saving import CONFIG
from monosema.formats.format import Format, formats

formats.register("monosema")(Format(recognises=lambda path: (path / CONFIG).is_file(), load=load, save=save))
