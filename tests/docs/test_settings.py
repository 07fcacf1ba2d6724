"""docs/settings.md is what the server reads, as .env.example is."""

import re
from pathlib import Path

import pytest

from taskwell.core.settings import Settings
from tests.core.test_settings import as_text, variable

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_has_every_setting_once_with_its_default_and_its_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = re.findall(r"^\| (`.*) \|$", PAGE.read_text(), flags=re.MULTILINE)
    expected = []
    for name, field in Settings.model_fields.items():
        default = f"`{as_text(name)}`" if as_text(name) else ""
        expected.append(f"`{variable(name)}` | {default} | {field.description}")
    assert sorted(rows) == sorted(expected)
