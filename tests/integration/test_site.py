"""The documentation as a site: built strictly, and read without a request to any other host."""

import os
import re
import subprocess
import sys

import pytest

from helpers.places import REPOSITORY

LOADING = "script|link|img|iframe|source|video|audio|object|embed"
LOADED = re.compile(rf"<(?:{LOADING})\b[^>]*\b(?:src|href|srcset|data)=[\"']?(?:https?:)?//[^>]*>")
STYLED = re.compile(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^;)]*")
ON_DEMAND = re.compile(r"class=[\"']?mermaid\b|data-md-component=[\"']?source\b|<form[^>]*action=[\"']?https?:[^>]*>")
"""What the theme's own script fetches from elsewhere: Mermaid for diagrams, GitHub's numbers for a repository."""


def asked(text: str) -> list[str]:
    """What a page or a style sheet would make a browser ask another host for; links that a reader follows are none."""
    return [found.group() for kind in (LOADED, STYLED, ON_DEMAND) for found in kind.finditer(text)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_no_page_asks_another_host(site):
    pages = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len([path for path in pages if path.suffix == ".html"]) >= len(list((REPOSITORY / "docs").glob("*.md")))
    assert len([path for path in pages if path.suffix == ".css"]) >= 1
    assert {str(path.relative_to(site)): found for path in pages if (found := asked(path.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    "text",
    [
        '<link rel="preconnect" href="https://fonts.gstatic.com" crossorigin>',
        '<link rel="stylesheet" href="//fonts.googleapis.com/css?family=Roboto">',
        "<script async src=https://cdn.jsdelivr.net/npm/mathjax@3/es5/tex-mml-chtml.js></script>",
        '<img alt="badge" src="https://img.shields.io/badge/a-b">',
        "@import url(https://a.example/style.css);",
        "src: url('https://a.example/font.woff2')",
        '<pre class="mermaid"><code>graph LR</code></pre>',
        '<a href="https://github.com/a/b" class="md-source" data-md-component="source">',
    ],
)
def test_what_a_browser_would_fetch_is_seen(text):
    assert asked(text)


def test_a_link_that_a_reader_follows_is_no_request():
    assert asked('<a href="https://arxiv.org/abs/2501.12147">the paper</a> <script src="assets/a.js"></script>') == []
