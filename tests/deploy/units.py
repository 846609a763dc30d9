"""systemd's unit files, as lists of what each key is given."""

from pathlib import Path


def settings(file: Path) -> dict[str, list[str]]:
    """Return what each `Section.Key` of a unit says, in order."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(f"{section}.{key}", []).append(value)
    return found
