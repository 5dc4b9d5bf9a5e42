"""Publishes a run to a hub on this machine, as `monosema push` does, and has SAELens load it from there.

    python scripts/check_published.py runs/demo peers/bin/python

The second argument is the Python of an environment with sae-lens. Each dictionary that the card offers to SAELens is
loaded by `SAE.from_pretrained`, and its codes and reconstructions are compared with those of `monosema.load`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import monosema as ms
from tests.hub.fake_hub import FakeHub, serving

REPO = "org/run"
THEIRS = """
import sys
from pathlib import Path
from safetensors.torch import load_file, save_file
from sae_lens import SAE
sae = SAE.from_pretrained(sys.argv[1], sys.argv[2])
sae.turn_off_forward_pass_hook_z_reshaping()
x = load_file(sys.argv[3])["x"]
save_file({"codes": sae.encode(x).detach().contiguous(), "out": sae(x).detach().contiguous()}, sys.argv[4])
"""


def main(run: Path, theirs: str) -> None:
    with serving(FakeHub()) as hub, tempfile.TemporaryDirectory() as scratch:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment = kept | {"HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "not-a-real-token"}
        ours = environment | {"HF_HOME": f"{scratch}/ours"}
        subprocess.run([sys.executable, "-m", "monosema", "push", str(run), REPO], env=ours, check=True)
        found = hub.tree(REPO, "main")
        assert found
        offered = sorted(path.rpartition("/")[0] for path in found[1] if path.endswith("saelens/cfg.json"))
        environment.pop("PYTHONPATH", None)
        for path in offered:
            dictionary = ms.load(run / "dictionaries" / path.rpartition("/")[0])
            x = torch.randn(64, dictionary.spec.d_in, generator=torch.Generator().manual_seed(0)) * 10
            save_file({"x": x}, f"{scratch}/x")
            arguments = [REPO, path, f"{scratch}/x", f"{scratch}/out"]
            apart = environment | {"HF_HOME": f"{scratch}/theirs"}
            subprocess.run([theirs, "-c", THEIRS, *arguments], env=apart, check=True)
            known = load_file(f"{scratch}/out")
            torch.testing.assert_close(dictionary.encode(x), known["codes"], rtol=1e-5, atol=1e-4)
            torch.testing.assert_close(dictionary(x), known["out"], rtol=1e-5, atol=1e-4)
            print(f"{path}: {len(x)} rows, as monosema has them")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
