"""The test images of a data set, and in which classes several forms of one network put them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loopwright.errors import DataError
from loopwright.models.images import Normalisation
from loopwright.models.parquet import ImageTable, evaluation_files, training_files
from loopwright.training.classes import require_all
from loopwright.training.images import Images, decoded_rows, normalised

SEED = 0
PIECE_PIXELS = 2**22
"""Images of so many pixels together are held at once."""
MEASURED_IMAGES = 5000
"""Training images that a normalisation is measured on, at most."""


@dataclass(frozen=True, eq=False)
class EvaluationImages:
    """The rows ``rows`` of a table of images, to be read piece by piece, with their ``labels``."""

    table: ImageTable
    rows: np.ndarray
    labels: np.ndarray
    input_shape: tuple[int, ...]
    normalisation: Normalisation
    resize: bool = False

    @classmethod
    def of(
        cls,
        folder: Path,
        input_shape: Sequence[int],
        classes: int,
        *,
        most: int | None = None,
        normalisation: Normalisation | None = None,
        resize: bool = False,
    ) -> EvaluationImages:
        """All test images of ``folder``, or ``most`` of them, the same ones every time. Without a ``normalisation`` it
        is measured on training images of the folder.

        Raises `DataError` for a folder without such images, and for one with other classes than a network with so many
        ``classes``.
        """
        table = ImageTable.open(evaluation_files(folder))
        labels = np.array(table.labels())
        if not len(labels):
            raise DataError(f"the test files in {folder} hold no images")
        require_all(classes, labels, "test")
        rows = np.sort(np.random.default_rng(SEED).permutation(len(labels))[:most])
        chosen = normalisation or measured_normalisation(folder, input_shape, resize)
        return cls(table, rows, labels[rows], tuple(input_shape), chosen, resize)

    def __len__(self) -> int:
        return len(self.rows)

    def pieces(self) -> Iterator[Tensor]:
        """Normalised images (N, C, H, W), float32, one piece after the other.

        Raises `DataError` for one that does not decode, or without ``resize`` has another size.
        """
        count = max(1, PIECE_PIXELS // (self.input_shape[2] * self.input_shape[3]))
        for start in range(0, len(self), count):
            pixels, labels = decoded_rows(
                self.table.read(self.rows[start : start + count].tolist()), self.input_shape, self.resize
            )
            images = Images(torch.from_numpy(pixels), torch.from_numpy(labels), self.normalisation)
            yield normalised(images, torch.float32).contiguous()


def measured_normalisation(folder: Path, input_shape: Sequence[int], resize: bool) -> Normalisation:
    """That of the training images in ``folder``, or of as many as suffice. Raises `DataError` where there are none."""
    table = ImageTable.open(training_files(folder))
    rows = np.sort(np.random.default_rng(SEED).permutation(len(table))[:MEASURED_IMAGES])
    if not len(rows):
        raise DataError(f"the training files in {folder} hold no images to measure a normalisation on")
    return Normalisation.of_pixels(decoded_rows(table.read(rows.tolist()), input_shape, resize)[0])


@dataclass(frozen=True)
class Form:
    """A network as something that runs: (``batch``, C, H, W) to scores (``batch``, classes), a tensor or an array.
    ``where`` says on what, ``exactly`` that it takes no fewer images. When ``run`` returns, it has finished."""

    name: str
    where: str
    run: Callable[[Tensor], Any]
    batch: int
    exactly: bool = False


@dataclass(frozen=True, eq=False)
class Predictions:
    """The class that gets the highest score, for every image, and the seconds that the network ran for all."""

    form: Form
    classes: np.ndarray
    seconds: float


def predictions(
    forms: Sequence[Form], images: EvaluationImages, advance: Callable[[int], None] = lambda n: None
) -> list[Predictions]:
    """What every form makes of the images; ``advance`` is told how many are done."""
    found: list[list[np.ndarray]] = [[] for _ in forms]
    seconds = [0.0 for _ in forms]
    for piece in images.pieces():
        for number, form in enumerate(forms):
            if not found[number]:
                form.run(_filled(piece[: form.batch], form))  # the first call prepares much
            for start in range(0, len(piece), form.batch):
                part = piece[start : start + form.batch]
                filled = _filled(part, form)
                begin = perf_counter()
                scores = form.run(filled)
                seconds[number] += perf_counter() - begin
                found[number].append(np.asarray(scores)[: len(part)].argmax(1))
        advance(len(piece))
    return [
        Predictions(form, np.concatenate(own), spent) for form, own, spent in zip(forms, found, seconds, strict=True)
    ]


def _filled(images: Tensor, form: Form) -> Tensor:
    """With as many images as the form takes; those added are the first one again."""
    lacking = form.batch - len(images) if form.exactly else 0
    return torch.cat([images, images[:1].expand(lacking, *images.shape[1:])]) if lacking else images
