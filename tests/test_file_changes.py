"""Stamps of a configuration file and its referenced files."""

import os
from pathlib import Path

import pytest

from exporter.config.file_changes import fingerprint

TEXT = """accounts:
  - name: a
    region: cn-shanghai
    ca_file: {folder}/ca.pem
    credentials: {{type: access_key, access_key_id: x, access_key_secret_file: {folder}/secret}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a configuration file with existing referenced files."""
    (tmp_path / "secret").write_text("not-a-secret", encoding="utf-8")
    (tmp_path / "ca.pem").write_text("certificates", encoding="utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(TEXT.format(folder=tmp_path), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["config.yaml", "secret", "ca.pem"])
def test_a_changed_file_changes_its_stamp(file: Path, name: str) -> None:
    before = fingerprint(file)
    with (file.parent / name).open("a", encoding="utf-8") as opened:
        opened.write("\n# more")
    assert fingerprint(file) != before


def test_a_change_with_equal_time_and_size_is_detected(file: Path) -> None:
    secret = file.parent / "secret"
    before, status = fingerprint(file), secret.stat()
    secret.write_text("not-a-sekret", encoding="utf-8")
    os.utime(secret, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint(file) != before


def test_a_changed_symbolic_link_is_detected(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("a: 1", encoding="utf-8")
    link, file = tmp_path / "..data", tmp_path / "..data" / "config.yaml"
    link.symlink_to(tmp_path / "one")
    before = fingerprint(file)
    assert fingerprint(file) == before
    link.unlink()
    link.symlink_to(tmp_path / "two")
    assert fingerprint(file) != before


def test_referenced_files_are_relative_to_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("tls_server_config: {cert_file: a.pem, key_file: /etc/a.key}", encoding="utf-8")
    assert set(fingerprint(file, tmp_path)) == {file, tmp_path / "a.pem", Path("/etc/a.key")}


def test_an_unreadable_file_has_an_empty_stamp(file: Path) -> None:
    assert all(fingerprint(file).values())
    (file.parent / "secret").unlink()
    assert not all(fingerprint(file).values())


@pytest.mark.parametrize("text", ["", "[", "a: *b", "- a_file: 7", "a_file: ''", "x_file: /\0"])
def test_invalid_files_have_a_stamp(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    assert fingerprint(file) == fingerprint(file)


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
def test_arbitrary_files_have_a_stamp(file: Path, text: str) -> None:
    before = fingerprint(file)
    file.write_text(text, encoding="utf-8")
    assert fingerprint(file) != before


def test_nested_aliases_are_visited_once(file: Path) -> None:
    """Without aliases, the last list would have 10**40 items."""
    lines = ["x0: &a0 {ca_file: ca.pem}"]
    lines += [f"x{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 41)]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert not all(fingerprint(file).values()), "the relative ca.pem does not exist"
