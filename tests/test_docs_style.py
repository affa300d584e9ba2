"""How the documentation reads: its sentences are short. Code, tables and headings are not counted."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import mean

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
MOST_WORDS = 18  # on average

_NOT_PROSE = re.compile(
    r"^ *(`{3,})[^\n]*\n.*?^ *\1`* *$"  # fenced code
    r"|<!--.*?-->"
    r"|^ *\|[^\n]*$"  # a row of a table
    r"|^#[^\n]*$"
    r"|^:::[^\n]*$"
    r"|!\[[^\]]*\]\([^)]*\)(?:\{[^}]*\})?",
    flags=re.MULTILINE | re.DOTALL,
)
_ITEM = re.compile(r"\n(?=\s*(?:[-*]|\d+\.)\s)")
_END = re.compile(r"(?<=[.!?])[\"')*]*\s+(?=[\"'(*]*(?:[A-Z0-9]|pointline))")
_ABBREVIATIONS = re.compile(r"\b(?:e\.g|i\.e|vs|etc)\.")


def sentences(page: str) -> list[str]:
    """The sentences of a page's prose. Code in a line is one word, and an item of a list begins a sentence."""
    text = _NOT_PROSE.sub("\n\n", page)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "Code", text)
    text = _ABBREVIATIONS.sub("such", text)
    blocks = [item for paragraph in re.split(r"\n\s*\n", text) for item in _ITEM.split("\n" + paragraph)]
    found = [sentence for block in blocks for sentence in _END.split(" ".join(block.split()))]
    return [sentence for sentence in found if words(sentence)]


def words(sentence: str) -> int:
    return len([word for word in sentence.split() if re.search(r"\w", word)])


def average(page: str) -> float:
    counts = [words(sentence) for sentence in sentences(page)]
    return mean(counts) if counts else 0.0


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_sentences_are_short(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    longest = sorted(sentences(text), key=words, reverse=True)[:3]
    assert average(text) <= MOST_WORDS, "\n".join(longest)


# The check above passes on good pages; here it is shown what it must not pass and what it must not count.


def test_code_tables_and_headings_are_no_sentences() -> None:
    page = """# A heading of five words

Two words. And three more
on two lines.

```python
x = "this is no sentence. Nor this."
```

| a | table |
|---|---|
| with | cells |

- An item. With two sentences
- `some code here` is [one link](https://example.org/a.b)
"""
    assert sentences(page) == ["Two words.", "And three more on two lines.", "- An item.", "With two sentences", "- Code is one link"]
    assert [words(sentence) for sentence in sentences(page)] == [2, 6, 2, 3, 4]


def test_numbers_and_abbreviations_end_no_sentence() -> None:
    assert len(sentences("It costs 0.83 bps, e.g. On one exchange. Then nothing.")) == 2


def test_a_long_sentence_is_found() -> None:
    assert average("One two three. Then " + "word " * 40 + "end.") == (3 + 42) / 2
