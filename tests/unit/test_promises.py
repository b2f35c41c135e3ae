"""Tests that hold the house: sizes, import directions, documentation, no effect at import."""

from __future__ import annotations

import ast
import inspect
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from nasexp import errors, hookspecs
from nasexp.errors import EXIT_CODE_MEANINGS, ExitCode, NasexpError

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "nasexp"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "skeletons" not in path.parts)
HOOKS = {name: spec for name, spec in vars(hookspecs).items() if name.startswith("nasexp_")}


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imports_of(path, *, at_run_time_only):
    """Return the nasexp modules that a module imports, by their dotted names."""
    tree = ast.parse(path.read_text())
    skipped = set()
    if at_run_time_only:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                skipped |= {id(child) for child in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_is_small_and_says_what_it_is(path):
    text = path.read_text()

    assert len(text.splitlines()) < 300
    assert ast.get_docstring(ast.parse(text)), "a module's docstring says its job"


def test_functions_are_short():
    lengths = [
        (len(body_lines(node)), f"{name_of(path)}.{node.name}")
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]

    lengths.sort()
    assert lengths[len(lengths) // 2][0] <= 7, "the median"
    assert lengths[-1][0] <= 45, lengths[-5:]


def body_lines(node):
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return range(body[0].lineno, (body[-1].end_lineno or 0) + 1) if body else ()


# Who may be imported by whom at run time: a layer knows only those below it.
LAYERS = [
    ["nasexp.testing"],
    ["nasexp.cli"],
    [
        "nasexp.pipeline",
        "nasexp.assembly",
        "nasexp.checks",
        "nasexp.inventory",
        "nasexp.background",
    ],
    [
        "nasexp.loader",
        "nasexp.preflight",
        "nasexp.following",
        "nasexp.tailing",
        "nasexp.persevering",
        "nasexp.verdict",
        "nasexp.stopping",
    ],
    ["nasexp.stages", "nasexp.environments", "nasexp.dispatch"],
    ["nasexp.launchers", "nasexp.backup", "nasexp.billing", "nasexp.importing"],
    ["nasexp.host", "nasexp.hookspecs"],
    ["nasexp.connections", "nasexp.runs", "nasexp.archives"],
    ["nasexp.values"],
    ["nasexp.jobs"],
    ["nasexp.config"],
    ["nasexp.errors"],
]


def layer_of(module):
    for level, names in enumerate(LAYERS):
        if any(module == name or module.startswith(f"{name}.") for name in names):
            return level
    return None


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path):
    own = layer_of(name_of(path))
    for module in imports_of(path, at_run_time_only=True):
        level = layer_of(module)
        if own is None or level is None:
            continue
        assert level >= own, f"{name_of(path)} may not import {module}"


def test_only_their_owners_touch_the_libraries():
    owners = {
        "paramiko": ("nasexp/connections/",),
        "pluggy": (
            "nasexp/__init__.py",
            "nasexp/loader.py",
            "nasexp/hookspecs.py",
            "nasexp/dispatch.py",
        ),
        "invoke": ("nasexp/cli/invoke_front.py",),
        "rich": ("nasexp/cli/live.py",),
        "yaml": ("nasexp/config/yamlfile.py",),
        "msgspec": ("nasexp/config/",),
    }
    for path in MODULES:
        for module in imports_of(path, at_run_time_only=False):
            allowed = owners.get(module.partition(".")[0])
            place = str(path.relative_to(ROOT))
            assert allowed is None or place.startswith(allowed), f"{place} imports {module}"


def test_importing_any_module_has_no_effect(tmp_path):
    names = [name_of(path) for path in MODULES if path.name != "__main__.py"]
    program = f"""
import importlib, os, signal, sys, threading
path = list(sys.path)
for name in {names!r}:
    importlib.import_module(name)
assert sys.path == path, "sys.path was changed"
assert os.listdir(".") == [], "a file was made"
assert threading.active_count() == 1, "a thread was started"
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "a signal is handled"
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_every_hook_is_documented_with_all_its_parts(name):
    doc = inspect.getdoc(HOOKS[name]) or ""
    text = doc.replace("\n", " ")

    assert doc.split("\n")[0].endswith(".")
    for part in ("Kind: ", "When: ", "Errors: ", "A project's plugin.py: "):
        assert part in text, part
    kind = text.partition("Kind: ")[2].split(".")[0]
    assert kind in ("provider", "each", "observer")
    if kind != "observer":
        assert "Returns: " in text
    if kind == "provider":
        assert HOOKS[name].nasexp_spec["firstresult"]


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_every_hook_has_a_user_in_this_repository(name):
    files = [*MODULES, *(ROOT / "plugins").glob("*.py"), *(ROOT / "projects").glob("*/plugin.py")]
    users = [p for p in files if f"def {name}(" in p.read_text() and p.name != "hookspecs.py"]

    assert users


def test_every_error_is_in_the_drawn_tree_with_its_code():
    tree = errors.__doc__ or ""
    classes = [
        c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, NasexpError)
    ]

    for kind in classes:
        line = next((row for row in tree.splitlines() if f"{kind.__name__} " in row), "")
        assert f" {int(kind.exit_code)} " in f"{line} ", kind


def test_every_exit_code_has_a_meaning_and_the_worst_is_told():
    assert set(EXIT_CODE_MEANINGS) == set(ExitCode)
    order = [5, 130, 2, 3, 1, 6, 4, 7]
    for first, second in itertools.pairwise(order):
        assert ExitCode.worst([ExitCode(second), ExitCode(first)]) == first
    assert ExitCode.worst([]) is ExitCode.OK
