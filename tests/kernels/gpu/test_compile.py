import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels.gpu import setup

KERNELS = {
    "_list",
    "_choose",
    "_maxima",
    "_normalise",
    "_project",
    "_count",
    "_write",
    "_sum_chunks",
    "_sum_rows",
    "_multiply",
}


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["80", "90"])
def test_every_kernel_compiles_for_a_gpu_that_need_not_be_there(capability: str, tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    script = Path(setup.__file__).with_name("compile_kernels.py")
    done = subprocess.run(
        [sys.executable, script, capability],
        env=environment | {"TRITON_CACHE_DIR": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert {line.split()[0] for line in done.stdout.splitlines()} == KERNELS
    assert all(int(line.split()[1]) > 0 for line in done.stdout.splitlines())
