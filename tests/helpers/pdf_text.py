"""The words and headings of a PDF that chromium has printed, without a PDF library."""

import base64
import re
import subprocess
import zlib
from pathlib import Path

from helpers.browser import CHROMIUM

GLYPH = re.compile(rb"<([0-9A-Fa-f]+)>")


def printed(page: Path, folder: Path) -> str:
    """The words of a page as a plain `chromium --print-to-pdf` prints it, without spaces."""
    path = folder / "printed.pdf"
    fixed = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", f"--user-data-dir={folder / 'profile'}")
    subprocess.run([CHROMIUM, *fixed, f"--print-to-pdf={path}", page.as_uri()], check=True, capture_output=True, timeout=100)
    return words(path.read_bytes())


def paper(driver) -> bytes:
    """What a browser shows as a PDF, as its reader would print it."""
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    wanted = {"preferCSSPageSize": True, "printBackground": True, "generateTaggedPDF": True, "generateDocumentOutline": True}
    return base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", wanted)["data"])


def headings(pdf: bytes) -> list[tuple[str, int, float]]:
    """Every heading in reading order: its text, its page from 0, and points from the lower edge of that page."""
    pages = _pages(_objects(pdf))
    found = re.findall(rb"/Title \((.*?)\)\n/Dest \[(\d+) 0 R /XYZ [\d.]+ ([\d.]+) 0\]", pdf)
    titles = [(title.decode("latin-1"), pages.index(int(page)), float(height)) for title, page, height in found]
    return sorted(titles, key=lambda each: (each[1], -each[2]))


def page_count(pdf: bytes) -> int:
    return len(_pages(_objects(pdf)))


def _pages(objects: dict[int, bytes]) -> list[int]:
    return [number for number, body in sorted(objects.items()) if re.search(rb"/Type /Page\n", body)]


def _objects(pdf: bytes) -> dict[int, bytes]:
    return {int(number): body for number, body in re.findall(rb"(?:^|\n)(\d+) 0 obj\s(.*?)\nendobj", pdf, re.DOTALL)}


def words(pdf: bytes) -> str:
    """All texts of a PDF of Skia's, page by page, without spaces: glyph numbers in hex, fonts named /F<number of their object>."""
    objects = _objects(pdf)
    letters = {}
    for number, body in objects.items():
        if found := re.search(rb"/ToUnicode (\d+) 0 R", body):
            letters[number] = _letters(_stream(objects[int(found[1])]))
    said = []
    for body in objects.values():
        font = {}
        for name, shown in (
            re.findall(rb"/F(\d+) [\d.]+ Tf|(<[0-9A-Fa-f]+>)\s*Tj|\[(?:.*?)\]\s*TJ", _stream(body)) if b"stream" in body else ()
        ):
            if name:
                font = letters.get(int(name), {})
            for glyphs in GLYPH.findall(shown):
                said += [font.get(int(glyphs[at : at + 4], 16), "") for at in range(0, len(glyphs), 4)]
    return "".join("".join(said).split())


def _stream(body: bytes) -> bytes:
    head, _, rest = body.partition(b"stream\n")
    return zlib.decompress(rest.rpartition(b"\nendstream")[0]) if b"FlateDecode" in head else rest


def _letters(table: bytes) -> dict[int, str]:
    """Glyph number to text, of a ToUnicode table."""
    found = {}
    for part in re.findall(rb"beginbfchar(.*?)endbfchar", table, re.DOTALL):
        numbers = GLYPH.findall(part)
        found |= {int(glyph, 16): _text(text) for glyph, text in zip(numbers[::2], numbers[1::2], strict=True)}
    for part in re.findall(rb"beginbfrange(.*?)endbfrange", table, re.DOTALL):
        numbers = GLYPH.findall(part)
        for first, last, text in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
            start = int(text, 16)
            found |= {glyph: chr(start + glyph - int(first, 16)) for glyph in range(int(first, 16), int(last, 16) + 1)}
    return found


def _text(digits: bytes) -> str:
    return bytes.fromhex(digits.decode()).decode("utf-16-be")
