"""The architecture, executable: who imports whom, who may call what, and what is documented."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import seqarchive
from seqarchive import commands, errors

_PACKAGE = Path(seqarchive.__file__).parent
_README = (Path(__file__).parent.parent / "README.rst").read_text("utf-8")


@dataclass(frozen=True)
class Import:
    """One import statement's target."""

    target: str
    line: int
    in_function: bool
    for_types: bool


def _name_of(path: Path) -> str:
    parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


_FILES = {_name_of(path): path for path in sorted(_PACKAGE.rglob("*.py"))}
_TREES = {name: ast.parse(path.read_bytes(), str(path)) for name, path in _FILES.items()}


def _is_ours(target: str) -> bool:
    return target.split(".", maxsplit=1)[0] == "seqarchive"


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _targets(module: str, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """What a statement imports, as absolute names; of ours, the modules."""
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names)
        return
    base = node.module or ""
    if node.level:
        package = module.split(".")
        is_package = _FILES[module].name == "__init__.py"
        package = package[: len(package) - node.level + is_package]
        base = ".".join([*package, *([base] if base else [])])
    for name in node.names:
        whole = f"{base}.{name.name}"
        yield whole if whole in _FILES or not _is_ours(base) else base


def _imports(module: str) -> list[Import]:
    found: list[Import] = []

    def walk(node: ast.AST, in_function: bool, for_types: bool) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.extend(
                Import(target, node.lineno, in_function, for_types)
                for target in _targets(module, node)
            )
        functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        inside = in_function or isinstance(node, functions)
        if isinstance(node, ast.If) and _is_type_checking(node):
            for statement in node.body:
                walk(statement, inside, True)
            for statement in node.orelse:
                walk(statement, inside, for_types)
            return
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.expr):  # imports are in none
                walk(child, inside, for_types)

    walk(_TREES[module], False, False)
    return found


_IMPORTS = {module: _imports(module) for module in _TREES}


def _file(module: str) -> str:
    return _FILES[module].relative_to(_PACKAGE).as_posix()


def _importers(*packages: str) -> set[str]:
    """Files that import one of these, also if only for its types."""
    return {
        _file(module)
        for module, imports in _IMPORTS.items()
        for one in imports
        if one.target.split(".")[0] in packages
    }


def _attribute_users(module: str, *attributes: str) -> set[str]:
    """Files that say ``module.attribute``, or import the attribute from the module."""
    found = set()
    for name, parsed in _TREES.items():
        aliases = {module}
        for node in ast.walk(parsed):
            if isinstance(node, ast.Import):
                aliases.update(n.asname for n in node.names if n.name == module and n.asname)
            if (
                isinstance(node, ast.ImportFrom)
                and (node.module, node.level) == (module, 0)
                and {n.name for n in node.names} & {*attributes, "*"}
            ):
                found.add(_file(name))
        for node in ast.walk(parsed):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in attributes
                and isinstance(node.value, ast.Name)
                and node.value.id in aliases
            ):
                found.add(_file(name))
    return found


def test_the_parser_of_imports_sees_what_there_is() -> None:
    assert {"seqarchive", "seqarchive.archive", "seqarchive.commands.load"} <= _FILES.keys()
    targets = {one.target for one in _IMPORTS["seqarchive.archive"]}
    assert {"seqarchive.loading", "seqarchive.namespaces", "seqarchive.reader"} <= targets
    assert "seqarchive.errors" in {one.target for one in _IMPORTS["seqarchive.commands"]}
    assert any(one.for_types for one in _IMPORTS["seqarchive.schema"])
    assert any(one.in_function for one in _IMPORTS["seqarchive.schema"])


def test_imports_of_our_modules_form_no_cycle() -> None:
    graph = {
        module: {one.target for one in imports if _is_ours(one.target) and not one.for_types}
        for module, imports in _IMPORTS.items()
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert set(order) == set(_FILES)


#: Modules that need what not everybody has installed, or what is slow to import and seldom used;
#: and the one place that imports each.
_EXTRAS = {
    "seqarchive.cluster.client": "cluster/__init__.py",
    "seqarchive.sources.http": "sources/opening.py",
    "seqarchive.rgstore.reading": "rgstore/__init__.py",
    "seqarchive.remote.reading": "remote/__init__.py",
    "seqarchive.sources.s3": "sources/opening.py",
    "seqarchive.transfer.signatures": "transfer/signing.py",
    "seqarchive.genomes.server": "genomes/genomes.py",
    "seqarchive.genomes.sources": "genomes/opening.py",
    "seqarchive.genomes.fetching": "genomes/local.py",
    "seqarchive.registry.registry": "registry/__init__.py",
    "seqarchive.server.app": "server/__init__.py",
    "seqarchive.server.running": "server/__init__.py",
}


def test_our_modules_are_never_imported_inside_functions() -> None:
    late = [
        f"{_file(module)}:{one.line} {one.target}"
        for module, imports in _IMPORTS.items()
        for one in imports
        if one.in_function
        and _is_ours(one.target)
        and _EXTRAS.get(one.target) != _file(module)
    ]
    assert not late


def test_nothing_but_the_command_line_imports_the_command_line() -> None:
    wrong = {
        _file(module)
        for module, imports in _IMPORTS.items()
        for one in imports
        if one.target.startswith("seqarchive.commands")
        and not module.startswith("seqarchive.commands")
    }
    assert wrong <= {"__main__.py"}


def test_click_and_tqdm_are_known_to_the_command_line_alone() -> None:
    users = _importers("click", "tqdm")
    assert users
    assert {name for name in users if not name.startswith("commands/")} == set()


@pytest.mark.parametrize(
    ("packages", "files"),
    [
        (["sqlite_utils"], {"schema.py"}),
        (
            ["Bio"],
            {
                "records.py",
                "sequences.py",
                "tracks/operations/nucleotides.py",
                "tracks/operations/genetic_codes.py",
                "tracks/operations/enzymes.py",
            },
        ),
        (["zlib_ng"], {"bgzf.py"}),
        (["fcntl"], {"durable.py"}),
        (["bioutils"], {"assemblies/bundled.py"}),
        (["apsw"], {"remote/vfs.py"}),
        (["distributed"], {"cluster/client.py", "cluster/tasks.py"}),
        (["msgpack"], {"cluster/parts.py"}),
        (["boto3", "botocore"], {"sources/s3.py"}),
        (["cryptography"], {"transfer/signatures.py"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_library_is_known_to_the_one_place_that_is_about_it(
    packages: list[str], files: set[str]
) -> None:
    assert _importers(*packages) == files


def test_the_environment_is_read_by_the_command_line_alone() -> None:
    users = _attribute_users("os", "environ", "environb", "getenv", "getenvb", "putenv")
    # Where caches are is a matter of the machine, as is where temporary files are.
    caches = {"remote/cache.py"}
    assert {name for name in users if not name.startswith("commands/")} == caches


def test_what_makes_a_change_durable_is_called_in_one_place() -> None:
    calls = ("fsync", "fdatasync", "link", "rename", "renames", "replace")
    assert _attribute_users("os", *calls) == {"durable.py"}


def test_no_path_is_renamed_or_linked_behind_the_back_of_durable() -> None:
    """``Path.replace`` takes one argument and ``str.replace`` two."""
    wrong = [
        f"{_file(module)}:{node.lineno} {ast.unparse(node)}"
        for module, parsed in _TREES.items()
        for node in ast.walk(parsed)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            node.func.attr in ("rename", "hardlink_to")
            or (node.func.attr == "replace" and len(node.args) == 1 and not node.keywords)
        )
        and _file(module) != "durable.py"
    ]
    assert not wrong


def test_processes_are_forked_in_one_place() -> None:
    assert _attribute_users("os", "fork", "forkpty") == {"workers.py"}


def test_nothing_can_run_code_that_came_with_data() -> None:
    unsafe = ("pickle", "cPickle", "dill", "shelve", "yaml")
    assert _importers(*unsafe) == set()
    assert _attribute_users("os", "system", "popen") == set()
    for module, parsed in _TREES.items():
        for node in ast.walk(parsed):
            if isinstance(node, ast.Call):
                where = f"{_file(module)}:{node.lineno}"
                if isinstance(node.func, ast.Name):
                    assert node.func.id not in ("eval", "exec", "compile", "__import__"), where
                assert not any(
                    keyword.arg == "shell" and ast.unparse(keyword.value) != "False"
                    for keyword in node.keywords
                ), where


def _undocumented(module: str) -> Iterator[str]:
    def walk(node: ast.Module | ast.ClassDef, path: str) -> Iterator[str]:
        for child in node.body:
            if not isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            decorators = {ast.unparse(one) for one in child.decorator_list}
            if child.name.startswith("_") or "overload" in decorators:
                continue
            name = f"{path}.{child.name}"
            if not (ast.get_docstring(child) or "").strip():
                yield name
            if isinstance(child, ast.ClassDef):
                yield from walk(child, name)

    if not (ast.get_docstring(_TREES[module]) or "").strip():
        yield module
    yield from walk(_TREES[module], module)


@pytest.mark.parametrize("module", sorted(_FILES))
def test_all_that_is_public_has_a_docstring(module: str) -> None:
    if module != "seqarchive.__main__":
        assert list(_undocumented(module)) == []


def test_every_verb_is_in_the_readme() -> None:
    verbs = re.findall(r"``([^`]+)``|\$ seqarchive ([a-z-]+)", _README)
    words = {word for pair in verbs for text in pair for word in text.split()}
    assert {verb for verb in commands._VERBS if verb not in words} == set()


def test_every_verb_has_a_module_and_every_module_of_commands_a_verb() -> None:
    modules = {name for name in _FILES if name.startswith("seqarchive.commands.")}
    assert {f"seqarchive.commands.{name}" for name in commands._VERBS.values()} == modules


def _exit_codes() -> dict[str, int]:
    return {
        name: value.exit_code
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.SeqArchiveError)
    }


def test_every_exit_code_is_in_the_readme_and_in_the_help() -> None:
    codes = {*_exit_codes().values(), 0, 2, commands.INTERRUPTED}
    readme = re.search(r"(?s)Exit codes:(.*?)\n\n", _README)
    assert readme is not None
    for text in (readme[1], commands.EXIT_CODES):
        assert {int(code) for code in re.findall(r"(?<![\w.])\d+(?= )|\d+$", text)} == codes


def test_not_found_and_corrupt_never_share_an_exit_code() -> None:
    codes = _exit_codes()
    assert codes["NotFound"] == codes["Ambiguous"] != codes["Corrupt"] == codes["DigestMismatch"]
