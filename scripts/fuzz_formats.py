"""Reads damaged and hostile files of every format, a hundred thousand by default: only an InputError may come of one.

    python scripts/fuzz_formats.py --inputs 100000 --processes 2

Each input follows from its number. A process that dies is told with the number it died of, and one that takes more
memory than the files could fill as well.
"""

import argparse
import multiprocessing
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

from monosema.errors import InputError
from tests.formats.hostile import damaged, files_of, read, write
from tests.formats.recorded import names

TEMPORAL = [f"temporal/{name}" for name in ("topk", "relu", "layer_norm", "original/layer_12/temporal")]
"""Autoencoders of contexts: what is not damaged of them counts as refused, because it is no dictionary."""
MEMORY = 3 * 2**30
"""Bytes of address space beyond what the libraries take: no fixture is larger than some kB."""


def try_one(number: int, folder: Path) -> str:
    """What became of one input, in a word."""
    chance = random.Random(number)
    name = chance.choice([*names(), *TEMPORAL])
    with tempfile.TemporaryDirectory(dir=folder) as place:
        found = read(write(damaged(files_of(name), chance), name, Path(place)))
    return "refused" if isinstance(found, InputError) else "read"


def limit() -> None:
    warnings.simplefilter("ignore")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def work(numbers: range, folder: Path) -> tuple[Counter[str], list[str]]:
    outcomes, crashes = Counter(), []
    for number in numbers:
        (folder / f"{numbers.start}.number").write_text(str(number))
        try:
            outcomes[try_one(number, folder)] += 1
        except Exception:
            crashes.append(f"input {number}: {traceback.format_exc()}")
    return outcomes, crashes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    started, chunk = time.perf_counter(), 500
    last = options.first + options.inputs
    chunks = [range(start, min(start + chunk, last)) for start in range(options.first, last, chunk)]
    outcomes, crashes = Counter(), []
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        folder = Path(scratch)
        with multiprocessing.get_context("fork").Pool(options.processes, limit, maxtasksperchild=20) as pool:
            pending = [(numbers, pool.apply_async(work, (numbers, folder))) for numbers in chunks]
            for done, (numbers, result) in enumerate(pending):
                try:
                    found, broken = result.get(timeout=600)
                except multiprocessing.TimeoutError:
                    died = (folder / f"{numbers.start}.number").read_text()
                    crashes.append(f"input {died}: the process died or hangs")
                    continue
                outcomes += found
                crashes += broken
                if done % 20 == 19:
                    print(f"{sum(outcomes.values()):,} inputs, {dict(outcomes)}, {len(crashes)} crashes", flush=True)
    print("\n".join(crashes[:10]))
    print(f"{sum(outcomes.values()):,} inputs in {time.perf_counter() - started:.0f} s: {dict(outcomes)}")
    print(f"{len(crashes)} crashes; peak {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:,.0f} MiB")
    return bool(crashes)


if __name__ == "__main__":
    sys.exit(main())
