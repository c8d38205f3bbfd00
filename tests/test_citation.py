"""CITATION.cff and CHANGELOG.md: what they say is there."""

import re

import pytest

from tests.support import ROOT


def test_citation_file():
    """The keys that version 1.2.0 of the format asks for, and the paper."""
    yaml = pytest.importorskip("yaml")
    made = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert made["cff-version"] == "1.2.0"
    assert made["license"] == "MIT"
    assert made["authors"] == [{"name": "The PhysioSync developers"}]
    for work in (made, made["preferred-citation"]):
        assert work["title"].startswith("PhysioSync")
        assert work["authors"]
    assert made["message"]
    paper = made["preferred-citation"]
    assert paper["type"] == "article"
    assert isinstance(paper["year"], int)
    assert "2504.17163" in paper["url"]


def test_changes_name_what_is_there():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    now = text.partition("### New")[2]
    for name in re.findall(r"`((?:data_prep|Fine_tuning|benchmarks)/\w+\.py|[\w-]+\.(?:txt|cff))`", now):
        assert (ROOT / name).exists(), name
