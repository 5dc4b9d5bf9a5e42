import subprocess
import sys

HEAVY = (
    "transformers",
    "huggingface_hub",
    "datasets",
    "matplotlib",
    "pyarrow",
    "pydantic",
    "sklearn",
    "tyro",
    "rich",
    "pandas",
    "wandb",
)
GROUND = ("torch", "numpy")
ROOMS = (
    *("models", "activations", "kernels", "dictionaries", "formats", "hub", "recipes", "training", "evaluation"),
    *("analysis", "synthetic", "interpretation", "planning", "tiny", "runs"),
)


def _loaded(code: str) -> set[str]:
    """Which heavy packages, and which that the rooms stand on, an interpreter has loaded once it ran `code`."""
    script = f"{code}\nimport sys\nprint(*(name for name in {(*HEAVY, *GROUND)} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_and_its_rooms_no_heavy_package():
    assert _loaded("import monosema") == set()
    assert _loaded(f"import monosema.{', monosema.'.join(ROOMS)}") == set(GROUND)


def test_a_heavy_package_that_is_loaded_would_be_seen():
    assert _loaded("import rich") == {"rich"}
