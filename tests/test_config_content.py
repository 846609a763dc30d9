"""The content of a configuration: what changes it, and what does not."""

import os
from pathlib import Path

import pytest

from exporter.config_content import content_of

TEXT = """accounts:
  - name: a
    region: cn-shanghai
    ca_file: {folder}/ca.pem
    credentials: {{type: access_key, access_key_id: x, access_key_secret_file: {folder}/secret}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a configuration file with the files that it names."""
    (tmp_path / "secret").write_text("not-a-secret", encoding="utf-8")
    (tmp_path / "ca.pem").write_text("certificates", encoding="utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(TEXT.format(folder=tmp_path), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["config.yaml", "secret", "ca.pem"])
def test_a_file_that_changes_changes_the_content(file: Path, name: str) -> None:
    before = content_of(file)
    with (file.parent / name).open("a", encoding="utf-8") as opened:
        opened.write("\n# more")
    assert content_of(file) != before


def test_a_file_that_is_only_touched_does_not(file: Path) -> None:
    before = content_of(file)
    for name in ("config.yaml", "secret", "ca.pem"):
        os.utime(file.parent / name, (1, 1))
    assert content_of(file) == before


def test_a_change_that_keeps_time_and_size_is_seen(file: Path) -> None:
    secret = file.parent / "secret"
    before, status = content_of(file), secret.stat()
    secret.write_text("not-a-sekret", encoding="utf-8")
    os.utime(secret, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert content_of(file) != before


def test_a_link_that_is_turned_is_seen_only_by_what_it_leads_to(tmp_path: Path) -> None:
    for name, text in (("one", "a: 1"), ("same", "a: 1"), ("two", "a: 2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text, encoding="utf-8")
    link, file = tmp_path / "..data", tmp_path / "..data" / "config.yaml"
    found = []
    for name in ("one", "same", "two"):
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / name)
        found.append(content_of(file))
    assert found[0] == found[1] != found[2]


def test_what_cannot_be_read_is_told(file: Path) -> None:
    assert content_of(file).is_whole
    (file.parent / "secret").unlink()
    assert not content_of(file).is_whole


@pytest.mark.parametrize("text", ["", "[", "a: *b", "- a_file: 7", "a_file: ''", "x_file: /\0"])
def test_whatever_stands_in_the_file_has_a_content(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    assert content_of(file) == content_of(file)


@pytest.mark.parametrize(
    "text",
    [
        "accounts: &a [*a]",
        "&a {accounts: *a}",
        "a: !!bool maybe",
        "a: !!timestamp x",
        'a: !!int ""',
        'a_file: "\\ud800"',
    ],
)
def test_whatever_stands_in_the_file_it_has_a_content(file: Path, text: str) -> None:
    before = content_of(file)
    file.write_text(text, encoding="utf-8")
    assert content_of(file) != before


def test_aliases_of_aliases_are_looked_at_once(file: Path) -> None:
    """Written out, the last of these lists would hold 10 to the power of 40 names."""
    lines = ["x0: &a0 {ca_file: ca.pem}"]
    lines += [f"x{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 41)]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert not content_of(file).is_whole, "there is no ca.pem where it would be"
