"""Plugins that a policy does not allow are never imported, whoever asks; each test runs real processes."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.policy import files
from unlabeled_registry.testing import write_wheel

MANIFEST = """\
schema = 1
name = "unlabeled-{short}"
api = ">=1.0,<2"
summary = "A plugin of tests"
{extra}
[[provides]]
kind = "encoder"
id = "net"
object = "unlabeled_{short}.parts:Net"
summary = "A network"
modalities = ["*"]

[[provides]]
kind = "recipe"
id = "{short}-start"
object = "unlabeled_{short}:start.yaml"
summary = "A recipe"
"""
PARTS = """\
class Encoder:
    __module__ = "unlabeled.interfaces.encoder"  # the real one imports torch

class Net(Encoder): pass
"""
IMPORTED = "import os, pathlib\npathlib.Path(os.environ['IMPORTED'], __name__).touch()\n"
LOAD = """
import sys
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.registry import discover
discovered = []
try:
    registry = discover()
    discovered = registry.plugins
    print(registry.load(registry.find("encoder", sys.argv[1])).__name__)
except RegistryError as error:
    print(type(error).__name__, *error.problems, sep=": ")
    print(*(f"{p.name}: {p.state} ({p.reason})" for p in discovered if sys.argv[1].startswith(p.owner + "/")), sep="\\n")
"""


class Cluster:
    """A folder of installed plugins that say when they are imported, and a policy."""

    def __init__(self, root: Path) -> None:
        self.site, self.imports, self.policy = root / "site", root / "imports", root / "policy.toml"
        self.site.mkdir()
        self.imports.mkdir()
        self.variables = {name: value for name, value in os.environ.items() if name != "UNLABELED_PLUGINS"} | {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(self.site), os.environ.get("PYTHONPATH")])),
            "UNLABELED_CONFIG": str(root / "config"),
            "UNLABELED_POLICY": str(self.policy),
            "IMPORTED": str(self.imports),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def install(
        self, short: str, version: str = "1.0", code: str = "", extra: str = "", files: Mapping[str, str] | None = None
    ) -> Path:
        """Install a plugin as its wheel leaves it; its package's folder."""
        text = MANIFEST.format(short=short, extra=extra)
        contents = {
            "__init__.py": IMPORTED + code,
            "parts.py": PARTS,
            "start.yaml": "modalities: {}\n",
            **(files or {}),
        }
        wheel = write_wheel(self.site.parent / "wheels", f"unlabeled-{short}", text, contents, version)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.site)
        return self.site / f"unlabeled_{short}"

    def python(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, *arguments]
        return subprocess.run(line, env=self.variables | variables, capture_output=True, text=True, check=False)

    def run(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        return self.python("-m", "unlabeled", *arguments, **variables)

    def load(self, id_: str = "tones/net", **variables: str) -> list[str]:
        """What becomes of a component that is loaded as a recipe loads it."""
        done = self.python("-c", LOAD, id_, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def allow(self) -> None:
        """Write the policy of what is installed."""
        done = self.run("plugins", "policy", "write", "--out", str(self.policy), UNLABELED_POLICY="")
        assert done.returncode == 0, done.stderr

    def refused(self, reason: str, id_: str = "tones/net") -> None:
        """Loading says why it is refused, and nothing was imported."""
        name = f"unlabeled-{id_.partition('/')[0]}"
        told, state = self.load(id_)
        assert told == (
            f"NotAllowed: plugin {name!r} is not allowed by {self.policy}: {reason}; ask who keeps that file"
        )
        assert state == f"{name}: disabled (not allowed by {self.policy}: {reason})"
        assert self.imported() == []

    def imported(self) -> list[str]:
        return sorted(os.listdir(self.imports))


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_what_was_written_is_allowed_and_nothing_else(cluster: Cluster) -> None:
    cluster.install("tones")
    cluster.allow()
    cluster.install("tunes")
    cluster.refused("it does not name this plugin", "tunes/net")
    assert cluster.load() == ["Net"]
    assert cluster.imported() == ["unlabeled_tones"]
    found = {plugin["name"]: plugin for plugin in json.loads(cluster.run("plugins", "list", "--json").stdout)}
    assert found["unlabeled-tones"]["state"] == "enabled"
    reason = f"not allowed by {cluster.policy}: it does not name this plugin"
    assert (found["unlabeled-tunes"]["state"], found["unlabeled-tunes"]["reason"]) == ("disabled", reason)


def test_without_a_policy_everything_is_allowed(cluster: Cluster) -> None:
    cluster.install("tones")
    assert cluster.load(UNLABELED_POLICY="") == ["Net"]
    assert cluster.run("plugins", "policy", "check", UNLABELED_POLICY="").stdout == (
        "no policy holds here: every plugin is allowed; UNLABELED_POLICY names a file\n"
    )


def test_another_version(cluster: Cluster) -> None:
    cluster.install("tones", "1.0")
    cluster.allow()
    shutil.rmtree(cluster.site / "unlabeled_tones-1.0.dist-info")
    cluster.install("tones", "1.1")
    cluster.refused("it allows 1.0 only")


def test_other_contents_under_the_same_number(cluster: Cluster) -> None:
    cluster.install("tones")
    cluster.allow()
    cluster.install("tones", code="changed = True\n")
    cluster.refused("what is installed has other contents than 1.0 may have")


def change(package: Path) -> str:
    (package / "parts.py").write_text(PARTS + "changed = True\n")
    return "unlabeled_tones/parts.py was changed"


def add(package: Path) -> str:
    (package / "json.py").write_text("")
    return "unlabeled_tones/json.py was added"


def add_compiled(package: Path) -> str:
    (package / "parts").mkdir()
    (package / "parts" / "__init__.pyc").write_bytes(b"")
    return "unlabeled_tones/parts/__init__.pyc was added"


def link(package: Path) -> str:
    (package / "parts").symlink_to(package.parent)
    return "unlabeled_tones/parts was added"


def delete(package: Path) -> str:
    (package / "parts.py").unlink()
    return "unlabeled_tones/parts.py is missing"


def drop_record(package: Path) -> str:
    (package.parent / "unlabeled_tones-1.0.dist-info" / "RECORD").unlink()
    return "what is installed has other contents than 1.0 may have"


@pytest.mark.parametrize("tamper", [change, add, add_compiled, link, delete, drop_record])
def test_a_file_that_changed_after_the_installation(cluster: Cluster, tamper: Callable[[Path], str]) -> None:
    package = cluster.install("tones")
    cluster.allow()
    cluster.refused(tamper(package))


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_package_of_the_same_name_that_python_would_find_first(cluster: Cluster, tmp_path: Path, kind: str) -> None:
    package = cluster.install("tones")
    cluster.allow()
    first = tmp_path / "first"
    shutil.copytree(package, first / "unlabeled_tones")
    if kind == "zip":
        first = Path(shutil.make_archive(str(first), "zip", first))
    told = cluster.load(PYTHONPATH=f"{first}{os.pathsep}{cluster.variables['PYTHONPATH']}")[0]
    assert "which is not where it was installed" in told and f"imported from {first}/unlabeled_tones" in told


def test_a_compiled_file_is_part_of_what_is_allowed(cluster: Cluster) -> None:
    """Python runs it where there is no source, so another one of the same version is another plugin."""
    package = cluster.install("tones", files={"fast.pyc": "compiled"})
    cluster.allow()
    (package / "fast.pyc").write_text("changed")
    cluster.refused("unlabeled_tones/fast.pyc was changed")


def test_a_policy_in_a_folder_that_nobody_may_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(files.os, "lstat", closed)  # tests may run as root, whom no folder is closed to
    monkeypatch.setattr(files, "MACHINE_FILE", str(tmp_path / "policy.toml"))
    assert Path(files.MACHINE_FILE) in files.policy_files()


def test_a_plugin_that_another_one_imports(cluster: Cluster) -> None:
    cluster.install("tones", code="import unlabeled_tunes\n")
    cluster.allow()
    cluster.install("tunes")
    told = cluster.load()[0]
    assert f"NotAllowedImport: plugin 'unlabeled-tunes' is not allowed by {cluster.policy}: it does not name" in told
    assert cluster.imported() == ["unlabeled_tones"]


def test_hooks_and_the_probe_import_none_of_it_either(cluster: Cluster) -> None:
    package = cluster.install("tones", extra="hooks = true\n")
    cluster.install("tunes")
    cluster.allow()
    change(package)
    code = "from unlabeled_registry.registry import discover\nprint(*discover().import_hooks())"
    assert "'unlabeled-tones' is not allowed by" in cluster.python("-c", code).stdout
    found = {
        item["name"]: item
        for item in json.loads(cluster.run("--only", "tones,tunes", "plugins", "doctor", "--json").stdout)["plugins"]
    }
    assert (found["unlabeled-tones"]["state"], found["unlabeled-tones"]["works"]) == ("disabled", False)
    assert (found["unlabeled-tunes"]["state"], found["unlabeled-tunes"]["works"]) == ("enabled", True)
    assert cluster.imported() == ["unlabeled_tunes"]


def test_the_probe_asks_by_itself(cluster: Cluster) -> None:
    change(cluster.install("tones"))
    cluster.policy.write_text("schema = 1\n")
    code = "from unlabeled_registry.probe import probe\nprint(probe('unlabeled-tones').cause)"
    assert "importing unlabeled_tones: NotAllowedImport: plugin 'unlabeled-tones' is not allowed" in (
        cluster.python("-c", code).stdout
    )
    assert cluster.imported() == []


def test_a_recipe_of_a_changed_plugin_is_not_read(cluster: Cluster) -> None:
    package = cluster.install("tones")
    cluster.allow()
    assert cluster.run("recipes", "tones-start").stdout == "modalities: {}\n"
    (package / "start.yaml").write_text("changed: 1\n")
    done = cluster.run("recipes", "tones-start")
    assert (done.returncode, done.stdout) == (2, "")
    assert "unlabeled_tones/start.yaml was changed" in done.stderr


def test_check_hashes_all_and_imports_none(cluster: Cluster) -> None:
    package = cluster.install("tones")
    cluster.install("tunes")
    cluster.allow()
    done = cluster.run("plugins", "policy", "check")
    assert f"policy: {cluster.policy}\n" in done.stdout
    assert {"allowed: unlabeled-tones 1.0", "allowed: unlabeled-tunes 1.0"} <= set(done.stdout.splitlines())
    reason = change(package)
    done = cluster.run("plugins", "policy", "check")
    assert done.returncode == 2
    assert f"error: unlabeled-tones 1.0: not allowed by {cluster.policy}: {reason}" in done.stderr.splitlines()
    assert cluster.imported() == []
    done = cluster.run("plugins", "policy", "write", UNLABELED_POLICY="")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: unlabeled-tones 1.0: {reason}; install it again before it is allowed" in done.stderr


def test_a_checkout_is_allowed_where_the_policy_says_so(cluster: Cluster) -> None:
    package = cluster.install("tones")
    (package.parent / "unlabeled_tones-1.0.dist-info" / "direct_url.json").write_text(
        '{"dir_info": {"editable": true}}'
    )
    left_out = "unlabeled-tones is left out: it is installed from a checkout; --editable allows it, with any files"
    done = cluster.run("plugins", "policy", "write", "--out", str(cluster.policy), UNLABELED_POLICY="")
    assert left_out in done.stderr.splitlines()
    cluster.refused("it does not name this plugin")
    table = f'[[allowed]]\nname = "unlabeled-tones"\nversion = "1.0"\ncontents = "{"0" * 64}"\n'
    cluster.policy.write_text(f"schema = 1\n{table}")
    cluster.refused("it is installed from a checkout (editable)")
    text = cluster.run("plugins", "policy", "write", "--editable", UNLABELED_POLICY="").stdout
    cluster.policy.write_text(text)
    change(package)
    assert cluster.load() == ["Net"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("schema =", "no policy: no valid TOML ("),
        ("", "no policy: schema None is not 1"),
        ("schema = 1\nallow = []\n", "no policy: unknown key 'allow'"),
        ('schema = 1\nallowed = "all"\n', "no policy: allowed: must be [[allowed]] tables"),
        ('schema = 1\n[[allowed]]\nname = "Tones"\n', "no policy: allowed 1: name: must be a distribution's"),
        ('schema = 1\n[[allowed]]\nname = "unlabeled-tones"\n', "no policy: allowed 1 (unlabeled-tones): must have"),
        (
            'schema = 1\n[[allowed]]\nname = "unlabeled-tones"\nversion = "1.0"\ncontents = "ab"\n',
            "must have version and contents, 64 hexadecimal digits, or editable = true",
        ),
        (None, "no policy: cannot be read (No such file or directory)"),
    ],
)
def test_a_damaged_policy_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, problem: str
) -> None:
    file = tmp_path / "policy.toml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("UNLABELED_POLICY", str(file))
    with pytest.raises(RegistryError) as error:
        files.read_policies()
    (line,) = error.value.problems
    assert line.startswith(f"{file}: no policy: ")
    assert problem in line
    assert line.endswith("; until it is mended, no plugin is used")


def test_a_damaged_policy_allows_nothing(cluster: Cluster) -> None:
    cluster.install("tones")
    cluster.policy.write_text("schema =")
    for arguments in (["plugins", "list"], ["recipes", "tones-start"]):
        done = cluster.run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {cluster.policy}: no policy: no valid TOML (")
        assert len(done.stderr.splitlines()) == 1
    assert cluster.load()[0].startswith("RegistryError: ")
    assert cluster.imported() == []


def test_with_a_damaged_policy_what_needs_no_plugin_works(cluster: Cluster) -> None:
    cluster.install("tones")
    cluster.policy.write_text("?")
    for arguments in (["env"], ["--help"], ["plugins", "--help"]):
        assert cluster.run(*arguments).returncode == 0
    code = "from unlabeled_registry.probe import probe\nprint(probe('unlabeled-tones').cause)"
    assert "until it is mended, no plugin is used" in cluster.python("-c", code).stdout
    assert cluster.imported() == []


def test_several_policies_must_all_allow_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(file: Path, *names: str) -> str:
        file.parent.mkdir(exist_ok=True)
        tables = "".join(f'[[allowed]]\nname = "{name}"\neditable = true\n' for name in names)
        file.write_text(f"schema = 1\n{tables}")
        return str(file)

    machine = write(tmp_path / "machine.toml", "a", "b")
    monkeypatch.setattr(files, "MACHINE_FILE", machine)
    monkeypatch.setenv("UNLABELED_CONFIG", str(tmp_path / "config"))
    environment = write(tmp_path / "config" / "policy.toml", "b", "c")
    monkeypatch.setenv("UNLABELED_POLICY", write(tmp_path / "named.toml", "a", "b", "c"))
    policies = files.read_policies()
    assert [str(policy.file) for policy in policies] == [machine, environment, str(tmp_path / "named.toml")]
    assert files.refusal(policies, "b", "1.0") == ""
    assert files.refusal(policies, "a", "1.0") == f"not allowed by {environment}: it does not name this plugin"
    assert files.refusal(policies, "c", "1.0") == f"not allowed by {machine}: it does not name this plugin"
    (tmp_path / "config" / "policy.toml").unlink()
    (tmp_path / "config" / "policy.toml").symlink_to(tmp_path / "gone")
    with pytest.raises(RegistryError, match="cannot be read"):
        files.read_policies()


def test_a_run_that_needs_it_ends_with_one_line(cluster: Cluster, tmp_path: Path) -> None:
    package = cluster.install("tones")
    cluster.allow()
    reason = change(package)
    recipe = {
        "modalities": {name: {"id": "timeseries/series", "encoder": {"id": "tones/net"}} for name in ("a", "b")},
        "objectives": [{"id": "standard/simclr", "on": ["a"]}],
        "data": {"source": "sample:world"},
        "training": {"steps": 1},
    }
    text = cluster.policy.read_text()
    text += '[[allowed]]\nname = "unlabeled-standard"\neditable = true\n' * ("unlabeled-standard" not in text)
    text += '[[allowed]]\nname = "unlabeled-timeseries"\neditable = true\n' * ("unlabeled-timeseries" not in text)
    cluster.policy.write_text(text)
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    done = cluster.run("train", str(tmp_path / "recipe.yaml"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"error: plugin 'unlabeled-tones' is not allowed by {cluster.policy}: {reason}; ask who keeps that file"
    ]
    assert cluster.imported() == []


@pytest.mark.slow
def test_the_conformance_kit_imports_none_of_it_either(cluster: Cluster) -> None:
    package = cluster.install("tones")
    cluster.allow()
    reason = change(package)
    done = cluster.python("-m", "unlabeled.testing", "tones")
    assert done.returncode == 2
    assert f"plugin 'unlabeled-tones' is disabled: not allowed by {cluster.policy}: {reason}" in done.stderr
    assert cluster.imported() == []
