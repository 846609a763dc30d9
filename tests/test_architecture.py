"""Rooms: imports run one way, and each library is known in one place."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "exporter"
SHARED = {"", "clock", "errors", "files", "logs", "masking", "process_memory", "runtime", "sharding"}
"""Modules at the top: every package may import them, and they import no package."""
ALLOWED = {
    "config": {"config"},
    "mms": {"config", "mms"},
    "collect": {"config", "mms", "collect"},
    "exposition": {"config", "mms", "collect", "exposition"},
    "web": {"config", "mms", "collect", "exposition", "web"},
    "app": {"config", "mms", "collect", "exposition", "web", "app"},
    "retry": {"config", "mms", "retry"},
    "console": {"config", "mms", "retry", "console"},
    "simulator": {"simulator", "mms.models", "mms.record", "mms.signing", "mms.statuses"},
}
"""What each package may import, beside SHARED; `cli` may import all."""
HOME = {
    "aiohttp.web": {"app.serving", "web", "simulator"},
    "aiohttp": {"app.serving", "mms.transport", "web", "simulator"},
    "bcrypt": {"web.security.basic_auth"},
    "yaml": {"config.yaml_files"},
    "prometheus_client": {"exposition"},
    "alibabacloud_credentials": {"mms.credentials"},
    "rich": {"console"},
    "jinja2": {"web.status.page"},
}
"""Where each library may be imported."""
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(module: Path) -> str:
    """Return a module's dotted name below the package."""
    return (
        ".".join(module.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__").removesuffix("__init__")
    )


def imports_of(module: Path) -> Iterator[str]:
    """Yield the dotted name of everything that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(name: str, rooms: set[str]) -> bool:
    """Tell whether a dotted name is one of `rooms`, or in it."""
    return any(name == room or name.startswith(f"{room}.") for room in rooms if room)


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_imports_run_one_way(module: Path) -> None:
    room = name_of(module).partition(".")[0]
    own = {imported.removeprefix("exporter.") for imported in imports_of(module) if imported.startswith("exporter.")}
    shared = SHARED if room != "simulator" else set()
    if room in SHARED - {""} or room in ALLOWED:
        beyond = {name for name in own if not is_in(name, ALLOWED.get(room, set()) | shared)}
        assert beyond <= {"__version__", "__revision__", "DOCUMENTS"}


def module_of(imported: str, modules: set[str]) -> str:
    """Return the module of `modules` that an imported name is or lies in, "" for none."""
    while imported and imported not in modules:
        imported = imported.rpartition(".")[0]
    return imported


def test_imports_have_no_cycle() -> None:
    """Imports for type checking count too."""
    modules = {name_of(module) for module in MODULES}
    graph = {
        name_of(module): {
            module_of(imported.removeprefix("exporter."), modules - {name_of(module)})
            for imported in imports_of(module)
            if imported.startswith("exporter.")
        }
        for module in MODULES
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules of the cycle


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_each_library_is_known_in_one_place(module: Path) -> None:
    for imported in imports_of(module):
        library = next((each for each in HOME if imported == each or imported.startswith(f"{each}.")), None)
        if library is not None:
            assert is_in(name_of(module), HOME[library]), f"{imported} in {name_of(module)}"


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_only_the_command_line_reads_the_environment(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert is_in(name_of(module), {"cli"}) or not ("os.environ" in text or "getenv" in text)


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_no_module_passes_350_lines(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= 350


def test_the_serving_rooms_do_not_know_the_simulator() -> None:
    for module in MODULES:
        if name_of(module).partition(".")[0] in ("mms", "collect", "exposition", "web", "app", "console"):
            assert not any(imported.startswith("exporter.simulator") for imported in imports_of(module))


def test_one_module_makes_the_clients_of_accounts() -> None:
    """Or one of them would miss the proxy, the authorities or the limits of its account."""
    texts = {name_of(module): module.read_text(encoding="utf-8") for module in MODULES}
    assert {name for name, text in texts.items() if "credential_source(" in text} == {
        "mms.client",
        "mms.credentials",
    }
