"""The files that operators deploy by, held to the application and to the schemas of what reads them."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from taskwell.app import create_app
from taskwell.core.settings import Settings

ROOT = Path(__file__).parents[2]
PORT = Settings.model_fields["port"].default


def settings_named_in(text: str) -> set[str]:
    return set(re.findall(r"\b(?:TASKWELL_[A-Z_]*[A-Z]|(?:MIGRATION_)?DATABASE_URL)\b", text))


def known_settings() -> set[str]:
    names = {f"TASKWELL_{name.upper()}" for name in Settings.model_fields}
    return names | {"DATABASE_URL", "MIGRATION_DATABASE_URL"}


def settings_from(environment: Mapping[str, str]) -> Settings:
    """What the server makes of it; a value that it would refuse is an error."""
    names = {name.removeprefix("TASKWELL_").lower(): value for name, value in environment.items()}
    return Settings.model_validate(names)


def paths_served() -> set[str]:
    return set(create_app(Settings(database_url="sqlite:///unused.db")).openapi()["paths"])


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, in their order, each on one line."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines) if word]


def build_image(root: Path, sources: Path, environment: Mapping[str, str]) -> None:
    """Run the steps of the build stage as they stand, in a folder that is the image's root."""
    (folder := root / "src").mkdir(parents=True)
    stages = 0
    for word, rest in instructions():
        stages += word == "FROM"
        if stages > 1:
            break
        if word == "COPY":
            *names, target = rest.split()
            for name in names:
                run_script(f"cp -r {sources / name} {target}", folder, environment)
        if word == "RUN":
            run_script(re.sub(r"(?<= )/(?=\w)", f"{root}/", f" {rest}"), folder, environment)


def run_script(script: str, folder: Path, environment: Mapping[str, str]) -> str:
    """What it prints, errors included."""
    done = subprocess.run(
        ["sh", "-euc", script],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout
