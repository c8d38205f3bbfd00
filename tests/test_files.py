"""Files that many processes write at once, on storage as slow as a network's."""

import os
import subprocess
import sys

from tests.support import ROOT
from utils.base.files import atomic, write_json

WRITER = """
import os, sys, time
sys.path.insert(0, {root!r})
fsync = os.fsync
os.fsync = lambda fd: (time.sleep(0.3), fsync(fd))
from utils.base.files import write_json
sys.stdin.readline()  # all begin in one moment
for _ in range(3):
    write_json(sys.argv[1], {{"process": int(sys.argv[2]), "numbers": list(range(1000))}})
"""


def test_16_processes_write_one_file_in_one_moment(tmp_path):
    path = tmp_path / "begun.json"
    command = [sys.executable, "-c", WRITER.format(root=str(ROOT)), str(path)]
    pipe = dict(stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    jobs = [subprocess.Popen([*command, str(number)], **pipe) for number in range(16)]
    for job in jobs:
        job.stdin.write("\n")
        job.stdin.flush()
    errors = [job.communicate()[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0] * 16, errors
    assert os.listdir(tmp_path) == ["begun.json"]


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(tmp_path):
    path = tmp_path / "x.json"
    (tmp_path / ".x.json.0badcafe.partial").write_text("of a process that was killed")
    (tmp_path / ".xx.json.0badcafe.partial").write_text("of another file")
    with atomic(path) as file:
        assert {p.name for p in tmp_path.iterdir()} == {".xx.json.0badcafe.partial", os.path.basename(file.name)}
        write_json(path, {"another": "process"})
        assert os.path.exists(file.name)
        file.write(b"{}")
    assert path.read_text() == "{}"
