import subprocess
import sys

CPU = """
import sys
import torch
from monosema.kernels import encode_above, encode_topk, sparse_decode
x, weight, bias = torch.randn(4, 8), torch.randn(8, 64, requires_grad=True), torch.zeros(64)
for codes in (encode_topk(x, weight, bias, 3), encode_above(x, weight, bias, torch.tensor(1.0))):
    sparse_decode(codes, weight.mT).sum().backward()
print(*(name for name in sys.modules if name.startswith(("triton", "monosema.kernels.gpu"))))
"""


def test_nothing_of_a_gpu_is_loaded_for_tensors_on_a_cpu():
    done = subprocess.run([sys.executable, "-c", CPU], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
