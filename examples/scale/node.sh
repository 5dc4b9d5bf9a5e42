#!/bin/bash
# Trains on all GPUs of this machine. Say it again after a crash: it goes on from the newest checkpoint.
#
#     examples/scale/node.sh [RUN.yaml] [FOLDER]
set -euo pipefail

config=${1:-examples/scale/node.yaml}
out=${2:-runs/node}
gpus=${GPUS:-$(nvidia-smi --list-gpus | wc -l)}

# What cannot fit ends here, not after the model is loaded.
python -m monosema plan "$config" --hardware "${HARDWARE:-h100}" --ranks "$gpus" --gpus-per-node "$gpus"

exec torchrun --standalone --nproc-per-node "$gpus" -m monosema train --config "$config" --out "$out" --resume
