"""The cache folder: where the user's own is not to be written, one that nobody else can have put there."""

import tempfile
from pathlib import Path

import pytest

from daybreak.core import cache


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
    cache._writable.cache_clear()
    yield folder
    cache._writable.cache_clear()


def test_a_home_that_cannot_be_written_is_replaced(temporary):
    folder = cache.folder()
    assert folder.parent == temporary
    assert folder.stat().st_mode & 0o077 == 0
    assert cache.folder() == folder


def test_a_folder_that_others_may_write_is_not_used(temporary):
    first = cache.folder()
    first.chmod(0o777)
    cache._writable.cache_clear()
    second = cache.folder()
    assert second != first
    assert second.parent == temporary


def test_a_link_is_not_followed(temporary, tmp_path):
    first = cache.folder()
    first.rmdir()
    first.symlink_to(tmp_path)
    cache._writable.cache_clear()
    assert cache.folder() != first
