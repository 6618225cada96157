"""A pytest plugin: each promise of an installed plugin is a test.

    pytest -p unlabeled.testing.pytest_plugin --unlabeled-plugin NAME

Where a required promise did not run (deselected by -k, not collected, a first failure that ended the session), the session
fails, whatever passed. It is no `pytest11` entry point, as that would be imported by every pytest of an environment; put
the two options into `addopts`.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from unlabeled_registry.registry import discover

OPTION = "--unlabeled-plugin"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugins to check."""
    group = parser.getgroup("unlabeled", "conformance of unlabeled plugins")
    group.addoption(OPTION, action="append", default=[], metavar="NAME", help="prove every promise of this plugin")


def pytest_configure(config: pytest.Config) -> None:
    """Watch the session where there is a plugin to check."""
    names = config.getoption(OPTION)
    if names:
        config.pluginmanager.register(_Conformance(names), "unlabeled-conformance")


class _Conformance:
    """The tests of some plugins, and whether all of them ran."""

    def __init__(self, names: list[str]) -> None:
        from unlabeled.testing.conformance.run import requirements

        self.registry = discover()
        self.plugins = {name: requirements(name, self.registry) for name in names}
        self.benches: dict[str, Any] = {}
        self.ran: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Add the promises before anything is deselected."""
        for plugin, wanted in self.plugins.values():
            for item in wanted:
                name = _id(plugin.name, item)
                items.append(
                    _Promise.from_parent(session, name=name, nodeid=name, item=item, bench=self._bench(plugin))
                )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A promise ran where its check did, whether it was kept or not."""
        if report.when == "call" and not report.skipped:
            self.ran.add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Red where anything that is required did not run; in a worker of xdist that is the controller's to say."""
        for bench in self.benches.values():
            bench.__exit__(None, None, None)
        if not hasattr(session.config, "workerinput") and any(self._missing()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """A line a plugin."""
        for (plugin, wanted), missing in zip(self.plugins.values(), self._missing(), strict=True):
            line = f"{plugin.name} {plugin.version}: ran {len(wanted) - len(missing)} of {len(wanted)} required"
            terminalreporter.write_line(f"{line}: red" if missing else line, red=bool(missing))

    def _missing(self) -> Iterator[list[str]]:
        for plugin, wanted in self.plugins.values():
            yield [name for name in (_id(plugin.name, item) for item in wanted) if name not in self.ran]

    def _bench(self, plugin: Any) -> Any:
        from unlabeled.testing.conformance.bench import Bench

        return self.benches.setdefault(plugin.name, Bench(self.registry, plugin))


class _Promise(pytest.Item):
    """One promise."""

    def __init__(self, *, item: Any, bench: Any, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.item, self.bench = item, bench

    def runtest(self) -> None:
        """Try to prove it; what could not be tried is skipped, and so did not run."""
        from unlabeled.testing.conformance.run import prove

        result = prove(self.item, self.bench)
        if result.result == "not-run":
            pytest.skip(result.message)
        if result.result == "failed":
            raise AssertionError(result.message)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """One line."""
        return str(excinfo.value)

    def reportinfo(self) -> tuple[str, None, str]:
        """What a list of failures calls it."""
        return self.path.name, None, f"{self.name}: {self.item.text}"


def _id(plugin: str, item: Any) -> str:
    return "::".join(part for part in (plugin, f"{item.kind} {item.component}".strip(), item.promise) if part)
