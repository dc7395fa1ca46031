"""The folder of an exported network: sealed, checked, and replaced as a whole."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from ppeffconv.inference import bundle

FACTS = {"class_names": ["ä", "b"], "numbers": (1, 2.5), "none": None}


@pytest.fixture
def folder(tmp_path):
    with bundle.replacing_folder(tmp_path / "net") as draft:
        (draft / bundle.PROGRAM).write_bytes(b"program")
        (draft / bundle.PARAMETERS).write_bytes(bytes(range(256)) * 9)
        bundle.seal(draft, FACTS)
    return tmp_path / "net"


def test_facts_and_fingerprints_come_back(folder):
    manifest = bundle.read(folder)
    assert manifest["class_names"] == ["ä", "b"]
    assert manifest["numbers"] == [1, 2.5]
    assert manifest["files"]["model.pdiparams"]["bytes"] == 2304
    assert manifest["files"]["model.json"]["sha256"].startswith("1310ca2c8932dbd1")  # sha256sum says so
    (folder / "notes.txt").write_text("of no concern")
    assert bundle.read(folder) == manifest


def test_the_layout_of_the_manifest_does_not_matter(folder):
    manifest = json.loads((folder / bundle.MANIFEST).read_text())
    (folder / bundle.MANIFEST).write_text(json.dumps(manifest, sort_keys=True))
    assert bundle.read(folder) == manifest


@pytest.mark.parametrize(
    "change", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b[:9] + b"!" + b[10:], lambda b: b""]
)
def test_a_changed_file_is_refused(folder, change):
    path = folder / bundle.PARAMETERS
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(RuntimeError, match=r"pdiparams is not what was exported: expected 2304 bytes .* got \d+"):
        bundle.read(folder)


def test_a_missing_file(folder):
    (folder / bundle.PROGRAM).unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.json is missing: export the network again"):
        bundle.read(folder)
    (folder / bundle.MANIFEST).unlink()
    with pytest.raises(FileNotFoundError, match=r"no exported network at .*: manifest\.json is missing"):
        bundle.read(folder)
    with pytest.raises(FileNotFoundError, match="no exported network at"):
        bundle.read(folder / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m | {"class_names": ["b", "ä"]}, r"manifest\.json was changed: expected SHA-256 \w{64}, got \w{64}"),
        (lambda m: m | {"extra": 1}, "was changed"),
        (lambda m: {k: v for k, v in m.items() if k != "sha256"}, "was changed: expected SHA-256 None"),
        (lambda m: m | {"format": 2}, "has format 2, this ppeffconv reads format 1"),
        (lambda m: m | {"kind": "another"}, "has format None"),
        (lambda m: {}, "is damaged, or not of an exported network"),
        (lambda m: [m], "is damaged, or not of an exported network"),
    ],
)
def test_a_changed_manifest_is_refused(folder, change, message):
    path = folder / bundle.MANIFEST
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(RuntimeError, match=message):
        bundle.read(folder)


def test_a_truncated_manifest_is_refused(folder):
    path = folder / bundle.MANIFEST
    path.write_text(path.read_text()[:-9])
    with pytest.raises(RuntimeError, match=r"manifest\.json is damaged"):
        bundle.read(folder)


def test_facts_that_json_cannot_hold(tmp_path):
    with pytest.raises(ValueError, match="must be such as JSON can hold"):
        bundle.seal(tmp_path, {"transforms": [object()]})


def test_an_earlier_export_survives_a_failure(folder):
    before = bundle.read(folder)
    with pytest.raises(ZeroDivisionError), bundle.replacing_folder(folder) as draft:
        (draft / "half").write_text(str(1 // 0))
    assert bundle.read(folder) == before
    assert os.listdir(folder.parent) == ["net"]


def test_a_new_export_takes_the_place_of_all_files(folder):
    with bundle.replacing_folder(folder) as draft:
        bundle.seal(draft, {})
        assert bundle.read(folder)["class_names"]
    assert os.listdir(folder) == [bundle.MANIFEST]
    assert os.listdir(folder.parent) == ["net"]


def test_a_rename_that_fails_puts_the_earlier_export_back(folder, monkeypatch):
    rename, before = os.replace, bundle.read(folder)

    def replace(source, target):
        if os.path.basename(source) == "draft":
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(bundle, "_exchange", lambda *folders: False)  # as where the system has no such call
    with pytest.raises(OSError, match="no"), bundle.replacing_folder(folder) as draft:
        bundle.seal(draft, {})
    assert bundle.read(folder) == before


def test_killed_on_the_way(folder):
    """Whoever reads the folder sees the earlier export, whole."""
    before = bundle.read(folder)
    script = (
        "import os, signal, sys; from ppeffconv.inference import bundle\n"
        "with bundle.replacing_folder(sys.argv[1]) as draft:\n"
        "    (draft / 'model.json').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert bundle.read(folder) == before


def test_killed_while_it_takes_the_earlier_ones_place(folder):
    """There is no moment without an export, whatever the call is behind which the process ends."""
    script = (
        "import os, signal, sys; from ppeffconv.inference import bundle\n"
        "def killed(call):\n"
        "    return lambda *given: call(*given) is not False and os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.replace, bundle._exchange = killed(os.replace), killed(bundle._exchange)\n"
        "with bundle.replacing_folder(sys.argv[1]) as draft:\n"
        "    bundle.seal(draft, {'new': True})"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert bundle.read(folder)["new"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk(folder, number):
    before = bundle.read(folder)
    with pytest.raises(RuntimeError, match=f"no room to write {folder}"), bundle.replacing_folder(folder):
        raise OSError(number, os.strerror(number))
    assert bundle.read(folder) == before


def test_what_is_no_export_is_not_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1").touch()
    (tmp_path / "file").touch()
    for name in ("thesis", "file"):
        with (
            pytest.raises(ValueError, match="exists and is not an exported network"),
            bundle.replacing_folder(tmp_path / name),
        ):
            pass
    assert (tmp_path / "thesis" / "chapter1").exists()
    (tmp_path / "empty").mkdir()
    with bundle.replacing_folder(tmp_path / "empty" / "new" / "net") as draft:
        bundle.seal(draft, {})
    assert bundle.read(tmp_path / "empty" / "new" / "net")["files"] == {}


@pytest.mark.parametrize("path", [".", "", "..", "/", None, 3])
def test_a_folder_that_cannot_be_replaced(tmp_path, monkeypatch, path):
    """The current one, though it is empty, those around it, and what is no path."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="current folder or one around|must be a path"), bundle.replacing_folder(path):
        pass
    assert os.listdir(tmp_path) == []


def test_a_folder_in_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "net"
    with pytest.raises(ValueError, match="is a file: .* cannot be a folder in it"), bundle.replacing_folder(folder):
        pass
