"""The cache folder: where the user's own is not to be written, one that nobody else can have put there."""

import tempfile
from pathlib import Path

import pytest

from daybreak.engine import machine


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """The system's folder for temporary files, and a home that is no folder."""
    home, folder = tmp_path / "home", tmp_path / "temporary"
    home.write_text("")
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("DAYBREAK_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    machine._writable.cache_clear()
    yield folder
    machine._writable.cache_clear()


def test_a_home_that_cannot_be_written_is_replaced(temporary):
    folder = machine.cache_folder()
    assert folder.parent == temporary
    assert folder.stat().st_mode & 0o077 == 0
    assert machine.cache_folder() == folder


def test_a_folder_that_others_may_write_is_not_used(temporary):
    first = machine.cache_folder()
    first.chmod(0o777)
    machine._writable.cache_clear()
    second = machine.cache_folder()
    assert second != first
    assert second.parent == temporary


def test_a_link_is_not_followed(temporary, tmp_path):
    first = machine.cache_folder()
    first.rmdir()
    first.symlink_to(tmp_path)
    machine._writable.cache_clear()
    assert machine.cache_folder() != first
