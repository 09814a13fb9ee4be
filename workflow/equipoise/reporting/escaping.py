"""Names and texts as data in every language of the report: one function for each.

Pools, tasks and answers come from strangers; what they hold is shown, and is never markup, a formula or a command. Characters that no page
or terminal should get (control characters, bidi overrides, those that XML 1.0 forbids) are shown by their code points.
"""

import html
import json
import re
import unicodedata

import pandas as pd

from equipoise.errors import printable

LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_\allowbreak{}", "{": r"\{", "}": r"\}"}
LATEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar\allowbreak{}"}
LATEX |= {"−": "$-$", "–": "--", "±": r"$\pm$", "×": r"$\times$", "“": "``", "”": "''", "’": "'", "≥": r"$\geq$", "≤": r"$\leq$", '"': "''"}
LATEX |= {"[": "{[}", "]": "{]}", "`": r"\textasciigrave{}"}  # after \\ a bracket would be its argument; two of these a quotation mark

FORMULA = re.compile(r"[=@\t\n]|[+-](?![\d.,]*$)")
"""How a cell begins that a spreadsheet would compute."""


def shown(text: str) -> str:
    """The text with line ends of one kind; what must not be sent anywhere as it is is shown by its code point."""
    text = printable(text.replace("\r\n", "\n"))
    return re.sub("[\ufdd0-\ufdef\ufffe\uffff]", lambda found: f"[U+{ord(found[0]):04X}]", text)


def html_text(text: str) -> str:
    """For HTML and SVG, between tags and within quotes."""
    return html.escape(shown(text), quote=True)


def script_json(value: object) -> str:
    """JSON for a <script> element: no `<`, which begins both an end tag and a comment, but as JSON's own escape."""
    return json.dumps(_all_shown(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def markdown_text(text: str) -> str:
    """For a cell of a GitHub-flavoured table."""
    text = re.sub(r"&(?=#?\w+;)", "&amp;", shown(text))
    return re.sub(r"([\\`*_|<>\[\]~$#])", r"\\\1", text).replace("\n", "<br>")


def csv_text(frame: pd.DataFrame, **options: object) -> str:
    """A frame as CSV. A text that a spreadsheet would take for a formula gets an apostrophe before it; line ends are of one kind."""
    texts = {
        name: frame[name].map(_csv_cell)
        for name in frame.columns
        if frame[name].dtype == object or pd.api.types.is_string_dtype(frame[name])
    }
    return frame.assign(**texts).to_csv(index=False, lineterminator="\n", **options)


def latex_text(text: str) -> str:
    """For pdfLaTeX with its default fonts: lines become \\newline, letters they lack lose accents or show their code point."""
    return "".join(map(_latex_character, shown(text).strip("\n")))


def _latex_character(character: str) -> str:
    if character == "\n":
        return r"\newline "
    if character in LATEX:
        return LATEX[character]
    if " " <= character <= "~":
        return character
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return "".join(LATEX.get(letter, letter) for letter in plain) or f"{{[}}U+{ord(character):04X}{{]}}"


def _csv_cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")  # pandas quotes no lone carriage return, which ends a row for readers
    return f"'{text}" if FORMULA.match(text) else text


def _all_shown(value: object) -> object:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {_all_shown(key): _all_shown(item) for key, item in value.items()}
    return [_all_shown(item) for item in value] if isinstance(value, list | tuple) else value
