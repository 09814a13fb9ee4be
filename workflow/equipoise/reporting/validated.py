"""Reads what `validate_influence` found out about the estimators."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise.config import Experiment
from equipoise.store.artefact import open_artefact
from equipoise.validation.results import Result


@dataclass(frozen=True)
class Validated:
    """Results of the comparison, labels by candidate, the reference's name, the ceiling of LDS, and the points behind the results."""

    results: list[Result]
    labels: dict[str, str]
    reference: str
    ceiling: dict[str, Any] | None
    points: dict[str, np.ndarray]


def read_validated(config: Experiment) -> Validated:
    """What `validate_influence` left. Raises `UserError` where it is missing or damaged."""
    from safetensors.numpy import load_file

    manifest = open_artefact(config, "validation")
    labels = {each["name"]: f"{each['name']}: {each['label']}" for each in manifest["candidates"]}
    results = [Result(**each) for each in manifest["results"]]
    return Validated(results, labels, manifest["reference"], manifest["ceiling"], load_file(manifest.only_file()))
