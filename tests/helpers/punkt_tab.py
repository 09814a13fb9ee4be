"""A stand-in for NLTK's punkt_tab: English without learned abbreviations, so that sentences end at every full stop."""

from pathlib import Path


def punkt_tab(folder: Path) -> str:
    """Writes it below `folder`; the value of NLTK_DATA under which it is found."""
    data = folder / "tokenizers" / "punkt_tab" / "english"
    data.mkdir(parents=True)
    for name in ("abbrev_types.txt", "collocations.tab", "sent_starters.txt", "ortho_context.tab"):
        (data / name).write_text("", encoding="utf-8")
    return str(folder)
