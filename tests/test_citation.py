"""CITATION.cff and CHANGELOG.md: what they say is there."""

import re

from tests.support import ROOT


def test_citation_file():
    """The keys that version 1.2.0 of the format asks for, of the software and of the paper."""
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    software, paper = text.split("\npreferred-citation:\n")
    assert "\t" not in text
    for key in ("cff-version: 1.2.0", "message: ", "title: PhysioSync", "authors:", "license: MIT", "type: software"):
        assert re.search(f"^{key}", software, re.MULTILINE), key
    for key in ("type: article", "title: ", "authors:", "year: 2025$", "journal: IEEE Transactions"):
        assert re.search(f"^  {key}", paper, re.MULTILINE), key
    assert re.findall(r"family-names: (\w+)", paper) == ["Cui", "Li", "Liu", "Zhang", "Hu", "Wang"]
    assert "2504.17163" in paper


def test_changes_name_what_is_there():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    now = text.partition("### New")[2]
    names = re.findall(r"`((?:data_prep|Fine_tuning|benchmarks)/\w+\.py|[\w-]+\.(?:txt|cff))`", now)
    assert len(names) > 4
    for name in names:
        assert (ROOT / name).exists(), name
