"""Encoded examples in arrays: four bytes a token and some thirty an example, where lists of Python numbers take 84 bytes a token.

Saved, they are a folder of .npy files that several processes map into memory: the host holds them once, and fetches what is asked for.
`examples.json`, written last, holds the fingerprint of what they were made from and the digest of every file.
"""

import json
import os
import shutil
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import overload

import numpy as np

from equipoise.files import file_digest, sync_folder, write_text
from equipoise.modelling.chat import Encoded

FIELDS = {"tokens": "i", "starts": "q", "prompts": "i", "completions": "i", "gaps": "i", "gap_starts": "q", "cut": "b"}
"""Arrays by their type: tokens of all examples [t] and where each begins [n + 1]; lengths of prompts and tokens with a loss [n]; edges of
gaps [2 g] and where each example's begin [n + 1]; whether the last end token is cut off [n]."""
SAID = "examples.json"


class Examples(Sequence[Encoded]):
    """Examples of a file or of a part of it; each becomes an `Encoded` when it is asked for. A slice is a view."""

    def __init__(self, arrays: dict[str, np.ndarray], places: np.ndarray | None = None):
        self._arrays = arrays
        self._places = np.arange(len(arrays["prompts"])) if places is None else places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, wanted: int) -> Encoded: ...
    @overload
    def __getitem__(self, wanted: slice) -> "Examples": ...
    def __getitem__(self, wanted):
        if isinstance(wanted, slice):
            return Examples(self._arrays, self._places[wanted])
        held, place = self._arrays, self._places[wanted]
        tokens = held["tokens"][held["starts"][place] : held["starts"][place + 1]].tolist()
        edges = held["gaps"][held["gap_starts"][place] : held["gap_starts"][place + 1]].tolist()
        gaps = tuple(zip(edges[::2], edges[1::2], strict=True))
        return Encoded(tokens, int(held["prompts"][place]), gaps, bool(held["cut"][place]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None

    @property
    def completions(self) -> np.ndarray:
        """Tokens with a loss, int32 [n]."""
        return self._arrays["completions"][self._places]

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, whatever part of them this is."""
        return sum(each.nbytes for each in self._arrays.values())

    def take(self, places: np.ndarray) -> "Examples":
        """Those at `places`, int [n], in that order; a view."""
        return Examples(self._arrays, self._places[places])

    def save(self, folder: Path, fingerprint: str) -> None:
        """Writes the examples to `folder`, whole or not at all. fingerprint: of what they were made from."""
        part = folder.with_name(f".{folder.name}.part")
        for each in (part, folder):
            shutil.rmtree(each, ignore_errors=True)
        part.mkdir(parents=True)
        for name, values in (self._arrays | {"places": self._places}).items():
            with open(part / f"{name}.npy", "wb") as file:
                np.save(file, values, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        digests = {path.name: file_digest(path) for path in sorted(part.iterdir())}
        write_text(part / SAID, json.dumps({"fingerprint": fingerprint, "files": digests}, indent=1) + "\n")
        os.replace(part, folder)
        sync_folder(folder.parent)


def open_examples(folder: Path, fingerprint: str) -> Examples | None:
    """The examples saved in `folder`, mapped into memory; None where they are not whole, or made from something else."""
    try:
        said = json.loads((folder / SAID).read_text(encoding="utf-8"))
        if said["fingerprint"] != fingerprint or any(file_digest(folder / name) != digest for name, digest in said["files"].items()):
            return None
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in (*FIELDS, "places")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Examples(arrays, np.array(arrays.pop("places")))


def gathered(blocks: Iterable[Sequence[Encoded]]) -> Examples:
    """Examples of all blocks, in their order; never more than one block is held as lists."""
    held = {name: array(kind, [0] if name.endswith("starts") else []) for name, kind in FIELDS.items()}
    for example in chain.from_iterable(blocks):
        held["tokens"].extend(example.input_ids)
        held["starts"].append(len(held["tokens"]))
        held["prompts"].append(example.prompt_length)
        held["completions"].append(example.completion_tokens)
        held["gaps"].extend(chain(*example.gaps))
        held["gap_starts"].append(len(held["gaps"]))
        held["cut"].append(example.cut)
    return Examples({name: np.asarray(values) for name, values in held.items()})
