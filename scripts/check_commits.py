"""Checks commit messages: `type(scope): sentence`, at most 72 characters, a blank line before the body.

`python -m scripts.check_commits` checks every commit after `RULE_BEGINS`, as CI does. With a file it checks
the message in that file, as the hook commit-msg does.
"""

import re
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

# Some earlier messages do not follow the form, and what is published is not rewritten.
RULE_BEGINS = "c1a09f8e87a7119a48f213931976826a6cf05952"
LIMIT = 72
TYPES = ("build", "chore", "ci", "docs", "feat", "fix", "perf", "refactor", "revert", "style", "test")
_SUBJECT = re.compile(rf"(?:{'|'.join(TYPES)})\([a-z0-9_-]+\)!?: \S.*[^.\s]")
# Git itself writes these: a merge has no subject of its own, and a rebase melts the others into their target.
_WRITTEN_BY_GIT = re.compile(r"Merge |(?:fixup|squash|amend)! ")
_SCISSORS = "# ------------------------ >8 ------------------------"


def mistakes(message: str) -> Iterator[str]:
    subject, *rest = message.strip("\n").split("\n")
    if len(subject) > LIMIT:
        yield f"the subject has {len(subject)} characters; {LIMIT} are the most"
    if not _SUBJECT.fullmatch(subject):
        yield f"the subject is not `type(scope): sentence` without a full stop; types: {', '.join(TYPES)}"
    if rest and rest[0].strip():
        yield "the line after the subject is not blank"


def about_to_be_committed(text: str) -> str:
    """The message in git's file, without the comments that git leaves out."""
    kept = text.partition(_SCISSORS)[0].splitlines()
    return "\n".join(line for line in kept if not line.startswith("#"))


def check_file(path: Path) -> list[str]:
    message = about_to_be_committed(path.read_text(encoding="utf-8"))
    return [] if _WRITTEN_BY_GIT.match(message) else list(mistakes(message))


def check_history(after: str) -> list[str]:
    command = ("git", "log", "--no-merges", "-z", "--format=%h%n%B", f"{after}..HEAD")
    log = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=False)  # noqa: S603
    if log.returncode:
        return [f"git cannot list the commits after {after}: is this a whole clone?"]
    commits = (entry.partition("\n") for entry in log.stdout.split("\0") if entry)
    return [f"{commit}: {mistake}" for commit, _, message in commits for mistake in mistakes(message)]


def main() -> int:
    parser = ArgumentParser(prog="python -m scripts.check_commits", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="a file with one message")
    parser.add_argument(
        "--after", default=RULE_BEGINS, metavar="COMMIT", help="check the commits after this one"
    )
    given = parser.parse_args()
    found = check_file(given.file) if given.file else check_history(given.after)
    sys.stderr.writelines(f"{mistake}\n" for mistake in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
