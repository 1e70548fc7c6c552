"""`python -m benchmarks [NAME ...]`: runs the measurements named (default: all) and prints Markdown.

What is worth keeping goes into `benchmarks/RESULTS.md` with the date and the machine.
"""

import sys
from collections.abc import Callable

from benchmarks import batching, create, edits, files, forward, jobs, language, many, pool, training

MEASUREMENTS: dict[str, Callable[[], list[str]]] = {
    "forward": forward.measure,
    "batching": batching.measure,
    "create": create.measure,
    "jobs": jobs.measure,
    "pool": pool.measure,
    "language": language.measure,
    "training": training.measure,
    "files": files.measure,
    "edits": edits.measure,
    "networks": many.measure,
}


def main() -> None:
    names = sys.argv[1:] or list(MEASUREMENTS)
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        sys.exit(f"no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    for name in names:
        print("\n".join(MEASUREMENTS[name]()), flush=True)


if __name__ == "__main__":
    main()
