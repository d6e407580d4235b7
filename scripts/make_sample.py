"""Makes the packaged sample: class-balanced CIFAR-10 training images, pixel for pixel, in one Parquet file.

    python scripts/make_sample.py FOLDER_OF_CIFAR10_PARQUET src/loopwright/models/sample/cifar10-train.parquet

The same folder gives the same file: rows are drawn with a fixed seed and keep their encoded bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 0
IMAGES = 512


def main() -> None:
    """Reads the arguments and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    table = pa.concat_tables(pq.read_table(file) for file in sorted(arguments.folder.glob("train-*.parquet")))
    sample = table.take(balanced_rows(table["label"].to_numpy(), IMAGES, SEED))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(sample, arguments.out, compression="none", use_dictionary=False)
    print(f"{arguments.out}: {sample.num_rows} images, {arguments.out.stat().st_size / 1e6:.2f} MB")


def balanced_rows(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of ``count`` rows, every class equally often (the first classes once more where it does not divide)."""
    order = np.random.default_rng(seed).permutation(len(labels))
    shuffled = labels[order]
    by_class = [order[shuffled == label] for label in np.unique(labels)]
    rounds = [rows[i] for i in range(-(-count // len(by_class))) for rows in by_class]
    return np.array(rounds[:count])


if __name__ == "__main__":
    main()
