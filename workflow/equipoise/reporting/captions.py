"""The captions of `snakemake --report`, one file per result, written from the catalogue:  python -m equipoise.reporting.captions"""

from pathlib import Path
from textwrap import fill

from equipoise.reporting.catalogue import RESULTS
from equipoise.shipped import WORKFLOW


def caption_files() -> dict[Path, str]:
    """Path -> text of the caption file of every result."""
    return {WORKFLOW / result.caption_file: fill(result.caption, 120, break_on_hyphens=False) + "\n" for result in RESULTS}


if __name__ == "__main__":
    for path, text in caption_files().items():
        path.write_text(text, encoding="utf-8")
