"""The documents match the code; examples and links are valid."""

import json
import re
import textwrap
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
import trustme
import yaml
from hypothesis import given

from docs.build import FOLDER, documents, own_metrics
from docs.configuration import sections
from exporter.cli.commands import COMMANDS, FLAGS
from exporter.config.credential_types import Credentials
from exporter.config.json_schema import json_schema
from exporter.config.loading import config_from, load
from exporter.errors import ConfigError
from exporter.exposition.families.metric_table import METRIC_GROUPS
from exporter.exposition.telemetry import OPERATIONS
from exporter.web.status.attention import COLLECTED
from tests.documented import blocks
from tests.programs import ROOT
from tests.test_config import CONFIGS, INVALID, JSON

EXAMPLES = sorted((FOLDER / "examples").rglob("*.yaml"))
READMES = sorted(ROOT.glob("README*.md"))
OPERATIONS_PAGE = (FOLDER / "operations.md").read_text(encoding="utf-8")
PAGES = sorted(
    path
    for folder in ROOT.iterdir()
    if folder.name not in {".git", ".venv", ".tools"}
    for path in ([folder] if folder.suffix == ".md" else folder.glob("**/*.md"))
)
SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
VALID_BY_SCHEMA = {
    "hosts_and_names",
    "impossible_values",
    "keys_in_clear",
    "two_accounts_of_one_name",
    "bad_regular_expression",
    "missing_secret_file",
    "key_given_twice",
    "vague_watch",
    "ids_watched_twice",
}
"""Invalid configurations that only the loader can reject."""


def test_generated_documents_are_current() -> None:
    """`make docs` generates them."""
    for name, text in documents().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, name


def test_the_schema_is_valid_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("file", [CONFIGS / "contract.yaml", ROOT / "deploy" / "config.example.yaml"], ids=str)
def test_the_schema_accepts_valid_files(file: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_the_schema_rejects_invalid_files(file: Path) -> None:
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, OverflowError):  # PyYAML does not translate all errors
        return
    is_valid = VALIDATOR.is_valid(raw)
    assert not is_valid or file.stem in VALID_BY_SCHEMA | {"no_accounts"}


@given(JSON)
def test_the_schema_accepts_all_that_the_loader_accepts(raw: object) -> None:
    try:
        config_from(raw)
    except ConfigError:
        return
    VALIDATOR.validate(raw)


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_configuration_in_a_readme_equals_its_file(page: Path) -> None:
    shown = [yaml.safe_load(textwrap.dedent(block)) for block in blocks(page, "yaml")]
    assert yaml.safe_load((ROOT / "deploy" / "config.example.yaml").read_text(encoding="utf-8")) in shown


def test_the_configurations_of_the_operations_page_are_valid() -> None:
    watching = [yaml.safe_load(block) for block in blocks(FOLDER / "operations.md", "yaml")]
    assert watching
    assert all(config_from(raw).watch.tables for raw in watching)


def test_every_documented_variable_belongs_to_a_flag() -> None:
    named = {name for page in PAGES for name in re.findall(r"MMS_EXPORTER_[A-Z_]*[A-Z]\b", page.read_text("utf-8"))}
    assert "MMS_EXPORTER_CONFIG_FILE" in named
    assert named <= {flag.variable for flag in FLAGS}


@pytest.mark.parametrize("policy", ["read", "databases", "failures", "reasons", "timers", "tasks", "watch", "show"])
def test_the_policies_allow_only_reads(policy: str) -> None:
    statements = json.loads((ROOT / "deploy" / "ram" / f"{policy}.json").read_text(encoding="utf-8"))["Statement"]
    actions = {action for statement in statements for action in statement["Action"]}
    assert actions
    assert actions <= {f"odps:{operation}" for operation in (*OPERATIONS, "GetMmsJob")}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_examples_are_valid(file: Path, tmp_path: Path) -> None:
    text = file.read_text(encoding="utf-8").replace("/etc/mms-exporter", str(tmp_path))
    for name in re.findall(rf"{tmp_path}/(\S+)", text):
        (tmp_path / name).write_bytes(trustme.CA().cert_pem.bytes() if name.endswith(".pem") else b"not-a-secret")
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    assert load(tmp_path / "config.yaml").accounts
    VALIDATOR.validate(yaml.safe_load(text))


def test_every_credential_type_has_an_example() -> None:
    kinds = {str(kind.__struct_config__.tag) for kind in get_args(Credentials)}
    assert kinds == {file.stem for file in EXAMPLES if file.parent.name == "credentials"}


def test_every_key_has_a_description() -> None:
    silent = [
        f"{path}.{name}"
        for path, section in sections(SCHEMA, "")
        for name, each in section["properties"].items()
        if "const" not in each and not each.get("description")
    ]
    assert silent == []


def test_the_example_configuration_needs_only_its_secret_file() -> None:
    with pytest.raises(ConfigError) as caught:
        load(ROOT / "deploy" / "config.example.yaml")
    assert [problem.path for problem in caught.value.problems] == ["accounts[0].credentials.access_key_secret_file"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_have_a_target(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    "page",
    [*READMES, *(FOLDER / f"{name}.md" for name in ("operations", "sizing", "glossary"))],
    ids=lambda page: page.name,
)
def test_every_documented_metric_exists(page: Path) -> None:
    known = {family.name for part in METRIC_GROUPS for family in part.families}
    known |= {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric, _ in own_metrics()}
    named = set(re.findall(r"\bmms_[a-z_]*[a-z]\b", page.read_text(encoding="utf-8")))
    assert named
    assert named <= known


def test_the_glossary_has_every_collector() -> None:
    (row,) = re.findall(r"^\| collector \|.*$", (FOLDER / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`([a-z]+)`", row)) - {"collector"} == set(COLLECTED)


def test_the_operations_page_has_every_command() -> None:
    for command in set(COMMANDS) - {"serve"}:
        assert f"`mms-exporter {command}`" in OPERATIONS_PAGE


def test_the_make_targets_of_the_pages_exist_and_ci_calls_them() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in PAGES:
        for target in set(re.findall(r"[`\n]make ([a-z]+)", page.read_text(encoding="utf-8"))):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page}: {target}"
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "\nmake lint\n" in ci
    assert "\nmake test\nmake scale\n" in ci
