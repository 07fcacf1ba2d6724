"""Reads the file `.env` in UTF-8 or UTF-16, since editors and shells write both."""

import codecs
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsError
from pydantic_settings.sources.utils import parse_env_vars

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class EnvFile(DotEnvSettingsSource):
    """pydantic-settings' source, which by itself reads only UTF-8 without a byte order mark."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls, env_file=".env")

    def _load_env_vars(self) -> Mapping[str, str | None]:
        try:
            return super()._load_env_vars()
        except OSError as error:  # the working directory cannot be searched
            reason = (error.strerror or "access refused").lower()
            raise SettingsError(f".env cannot be looked for: {reason}") from None

    def _read_env_file(self, file_path: Path) -> Mapping[str, str | None]:
        """Raises SettingsError: the file cannot be read, or is not text."""
        try:
            content = file_path.read_bytes()
        except OSError as error:
            reason = (error.strerror or "access refused").lower()
            raise SettingsError(f"{file_path} cannot be read: {reason}") from None
        values = dotenv_values(stream=StringIO(_decoded(content, file_path)))
        return parse_env_vars(values, self.case_sensitive, self.env_ignore_empty, self.env_parse_none_str)


def _decoded(content: bytes, path: Path) -> str:
    """PowerShell's `>` writes UTF-16, with or without a byte order mark."""
    utf16 = content.startswith(_UTF16_MARKS)
    if not utf16 and b"\0" in content:
        content = (codecs.BOM_UTF16_BE if content.startswith(b"\0") else codecs.BOM_UTF16_LE) + content
        utf16 = True
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not text in UTF-8: save it as UTF-8") from None
    if "\0" in text:
        raise SettingsError(f"{path} is not text in UTF-8: save it as UTF-8")
    return text
