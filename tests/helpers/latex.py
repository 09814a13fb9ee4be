"""Compiles tables of a report with pdfLaTeX."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed (Debian: texlive-latex-recommended)")


def compiled(tables: Iterable[str], folder: Path) -> list[float]:
    """Compiles LaTeX tables, a page each, in `folder`; fails with the end of its log. Returns the points by which lines are too wide."""
    body = "\n\\clearpage\n".join(tables)
    packages = "\\usepackage[utf8]{inputenc}\\usepackage{booktabs,graphicx,longtable}"
    (folder / "tables.tex").write_text(
        f"\\documentclass{{article}}{packages}\\begin{{document}}\n{body}\\end{{document}}\n", encoding="utf-8"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    return [float(size) for size in re.findall(r"Overfull \\hbox \(([\d.]+)pt", (folder / "tables.log").read_text(errors="replace"))]
