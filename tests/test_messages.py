"""The snapshot of what the project says as errors and warnings, and the names by which tests know it."""

import pytest

from tests import messages
from tests.support import says


def test_the_snapshot_is_what_the_code_says():
    in_code, in_file = messages.messages(), [(place, words) for _, place, words in messages.read()]
    assert in_code == in_file, "python tests/messages.py writes tests/messages.txt again"


def test_every_message_is_known_by_its_words():
    lines = [(kind, words) for kind, _, words in messages.read() if kind]
    known = [kind in messages.kinds_of(messages.FIELD.sub("7", words)) for kind, words in lines]
    assert sum(known) > 0.98 * len(lines)  # a few have the words of another and more


def test_a_message_of_another_kind_is_not_taken_for_it():
    text = "a/split.json was edited or damaged (its hash differs); use another --run-dir"
    says(text, "edited-or-damaged-hash", "split.json", "--run-dir")
    for kind, where in (
        ("does-not-exist", "split.json"),
        ("edited-or-damaged-hash", "split.csv"),
        ("no-such", "split"),
    ):
        with pytest.raises(AssertionError):
            says(text, kind, where)


def test_a_reworded_message_keeps_its_kind(tmp_path, monkeypatch):
    monkeypatch.setattr(messages, "FILE", tmp_path / "messages.txt")
    before = {words: kind for kind, _, words in messages.read()}
    assert before == {}
    monkeypatch.setattr(messages, "messages", lambda: [("a:f", "{path} is gone; look"), ("a:g", "{path} has no rows")])
    messages.write()
    kinds = [kind for kind, _, _ in messages.read()]
    monkeypatch.setattr(
        messages,
        "messages",
        lambda: [("a:f", "{file} is not there"), ("b:g", "{path} has no row"), ("c:h", "{n} is new")],
    )
    messages.write()
    assert [kind for kind, _, _ in messages.read()][:2] == kinds
