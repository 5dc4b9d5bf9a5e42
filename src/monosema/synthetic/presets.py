"""Worlds with a name."""

from collections.abc import Callable

from monosema.registry import Registry
from monosema.synthetic.config import Correlation, Hierarchy, Magnitudes, SyntheticConfig, Zipf

presets: Registry[Callable[[], SyntheticConfig]] = Registry("preset")


@presets.register("easy")
def easy() -> SyntheticConfig:
    """256 features in 64 dimensions, each firing with probability 0.02: about 5 at a time."""
    return SyntheticConfig(256, 64, 0.02, Magnitudes(1.0, spread=0.5))


@presets.register("synthsaebench_16k")
def synthsaebench_16k() -> SyntheticConfig:
    """SynthSAEBench-16k (arXiv 2602.14687): 16,384 features in 768 dimensions, about 34 at a time."""
    return _synthsaebench(features=16_384, d=768, trees=128, least=5e-4)


@presets.register("synthsaebench_2k")
def synthsaebench_2k() -> SyntheticConfig:
    """The same in small, for two cores: 2,048 features in 192 dimensions, about 12 at a time."""
    return _synthsaebench(features=2048, d=192, trees=16, least=1e-3)


def _synthsaebench(features: int, d: int, trees: int, least: float) -> SyntheticConfig:
    return SyntheticConfig(
        features,
        d,
        Zipf(0.5, 0.4, least),
        Magnitudes(5.0, 4.0, spread=0.5, spread_deviation=0.5, noise="normal"),
        Correlation(rank=25, scale=0.1),
        Hierarchy(trees, branching=4, depth=3, exclusive=True, scaled=True),
        bias=0.5,
    )
