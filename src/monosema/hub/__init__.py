"""Dictionaries on the Hugging Face hub: addresses, the registry of published ones, downloads and uploads."""

from monosema.hub.address import Address, parse, release_of
from monosema.hub.download import fetch
from monosema.hub.load import load, load_all, load_temporal
from monosema.hub.registry import Published, find, releases, search
from monosema.hub.upload import upload

__all__ = [
    "Address",
    "Published",
    "fetch",
    "find",
    "load",
    "load_all",
    "load_temporal",
    "parse",
    "release_of",
    "releases",
    "search",
    "upload",
]
