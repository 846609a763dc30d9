"""Rooms: imports run one way, and each library is known in one place."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

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
    "simulator": {"simulator", "mms.models", "mms.signing"},
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


@cache
def imports_of(module: Path) -> tuple[str, ...]:
    """Return the dotted name of everything that a module imports, wherever in it."""
    found: list[str] = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            found += (f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(found)


def is_in(name: str, rooms: set[str]) -> bool:
    """Tell whether a dotted name is one of `rooms`, or in it."""
    return any(name == room or name.startswith(f"{room}.") for room in rooms if room)


def own_imports_of(module: Path) -> set[str]:
    """Return what a module imports of this package, by its dotted name below it."""
    return {each.removeprefix("exporter.") for each in imports_of(module) if each.startswith("exporter.")}


def test_imports_run_one_way() -> None:
    for module in MODULES:
        room = name_of(module).partition(".")[0]
        shared = SHARED if room != "simulator" else set()
        if room in SHARED - {""} or room in ALLOWED:
            beyond = {name for name in own_imports_of(module) if not is_in(name, ALLOWED.get(room, set()) | shared)}
            assert beyond <= {"__version__", "__revision__", "DOCUMENTS"}, module


def module_of(imported: str, modules: set[str]) -> str:
    """Return the module of `modules` that an imported name is or lies in, "" for none."""
    while imported and imported not in modules:
        imported = imported.rpartition(".")[0]
    return imported


def test_imports_have_no_cycle() -> None:
    """Imports for type checking count too."""
    modules = {name_of(module) for module in MODULES}
    graph = {
        name_of(module): {module_of(imported, modules - {name_of(module)}) for imported in own_imports_of(module)}
        for module in MODULES
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules of the cycle


def test_each_library_is_known_in_one_place() -> None:
    for module in MODULES:
        for imported in imports_of(module):
            library = next((each for each in HOME if is_in(imported, {each})), None)
            assert library is None or is_in(name_of(module), HOME[library]), f"{imported} in {module}"


def test_only_the_command_line_reads_the_environment() -> None:
    texts = {name_of(module): module.read_text(encoding="utf-8") for module in MODULES}
    assert [
        name for name, text in texts.items() if "os.environ" in text or "getenv" in text if name[:4] != "cli."
    ] == []


def test_no_module_passes_350_lines() -> None:
    lengths = {module: len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}
    assert {module: length for module, length in lengths.items() if length > 350} == {}


def test_one_module_makes_the_clients_of_accounts() -> None:
    """Or one of them would miss the proxy, the authorities or the limits of its account."""
    texts = {name_of(module): module.read_text(encoding="utf-8") for module in MODULES}
    assert {name for name, text in texts.items() if "credential_source(" in text} == {
        "mms.client",
        "mms.credentials",
    }
