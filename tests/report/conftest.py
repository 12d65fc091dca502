"""A small study, made once, and copies that a test may spoil."""

import shutil
from pathlib import Path

import pytest

from support.report.study import Study, make_study


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def study(pristine: Study, tmp_path: Path) -> Study:
    """A copy that a test may spoil."""
    original = pristine.folder.parent
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return Study(
        tmp_path / pristine.folder.relative_to(original),
        tmp_path / pristine.store.relative_to(original),
        [tmp_path / run.relative_to(original) for run in pristine.runs],
    )
