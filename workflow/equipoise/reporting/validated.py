"""Reads what `validate_influence` found out about the estimators."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.errors import UserError
from equipoise.files import file_digest
from equipoise.layout import Layout
from equipoise.store.manifest import read_manifest
from equipoise.validation.results import Result


@dataclass(frozen=True)
class Validated:
    """Results of the comparison, labels by candidate, the reference's name, the ceiling of LDS, and the points behind the results."""

    results: list[Result]
    labels: dict[str, str]
    reference: str
    ceiling: dict[str, Any] | None
    points: dict[str, np.ndarray]


def read_validated(layout: Layout) -> Validated:
    """What `validate_influence` left. Raises `UserError` where it is missing or its points have changed."""
    from safetensors.numpy import load_file

    manifest, points = read_manifest(layout.validation, "validation"), Path(layout.validation_points)
    if not points.is_file() or file_digest(points) != manifest["points"]:
        raise UserError(f"{points}: missing or changed since it was written; run validate_influence again")
    labels = {each["name"]: f"{each['name']}: {each['label']}" for each in manifest["candidates"]}
    results = [Result(**each) for each in manifest["results"]]
    return Validated(results, labels, manifest["reference"], manifest["ceiling"], load_file(points))
