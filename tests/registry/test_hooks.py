from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from unlabeled_registry.hooks import Hooks, RunHooks, hookimpl

RUN = Path("run")


def package(**functions: Any) -> ModuleType:
    module = ModuleType("package")
    for name, function in functions.items():
        setattr(module, name, hookimpl(function))
    return module


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def hooks(reports: list[str]) -> Hooks:
    return Hooks(reports.append)


def test_each_hook_reaches_a_plugin_that_takes_what_it_needs(hooks: Hooks, reports: list[str]) -> None:
    seen: list[Any] = []
    hooks.register(
        "unlabeled-demo",
        package(
            recipe_loaded=lambda recipe: seen.append(recipe),
            run_started=lambda run, step: seen.append((run, step)),
            step_ended=lambda step, metrics: seen.append((step, metrics)),
            evaluation_ended=lambda evaluation: seen.append(evaluation),
            checkpoint_written=lambda checkpoint: seen.append(checkpoint),
            run_ended=lambda: seen.append("end"),
        ),
    )
    hooks.call("recipe_loaded", recipe={"seed": 0})
    hooks.call("run_started", run=RUN, recipe={"seed": 0}, step=0)
    hooks.call("step_ended", run=RUN, step=1, metrics={"loss": 2.0})
    hooks.call("evaluation_ended", run=RUN, step=1, evaluation={"evaluator": "standard/knn"})
    hooks.call("checkpoint_written", run=RUN, step=1, checkpoint=RUN / "checkpoints")
    hooks.call("run_ended", run=RUN, step=1, metrics={"loss": 2.0})
    assert seen == [
        {"seed": 0}, (RUN, 0), (1, {"loss": 2.0}), {"evaluator": "standard/knn"}, RUN / "checkpoints", "end",
    ]  # fmt: skip
    assert reports == []


def test_calls_without_plugins(hooks: Hooks) -> None:
    for name in vars(RunHooks):
        if not name.startswith("_"):
            hooks.call(name)


@pytest.mark.parametrize("error", [ValueError("bad\nvery"), SystemExit(3)])
def test_a_failing_hook_is_reported_once_and_loses_only_its_plugin(
    hooks: Hooks, reports: list[str], error: BaseException
) -> None:
    seen: list[str] = []

    def fails() -> None:
        raise error

    hooks.register("unlabeled-first", package(step_ended=lambda: seen.append("first")))
    hooks.register("unlabeled-broken", package(step_ended=fails, run_ended=lambda: seen.append("broken")))
    hooks.register("unlabeled-last", package(step_ended=lambda: seen.append("last"), run_ended=lambda: None))
    for step in (1, 2):
        hooks.call("step_ended", run=RUN, step=step, metrics={})
    hooks.call("run_ended", run=RUN, step=2, metrics={})
    assert sorted(seen) == ["first", "first", "last", "last"]
    cause = "ValueError: bad" if isinstance(error, ValueError) else "SystemExit: 3"
    assert reports == [
        f"plugin 'unlabeled-broken': its hook 'step_ended' failed: {cause}; its hooks are not called again"
    ]


def test_an_interrupt_passes(hooks: Hooks) -> None:
    def interrupts() -> None:
        raise KeyboardInterrupt

    hooks.register("unlabeled-demo", package(step_ended=interrupts))
    with pytest.raises(KeyboardInterrupt):
        hooks.call("step_ended", run=RUN, step=1, metrics={})


@pytest.mark.parametrize(
    "functions",
    [{"step_endet": lambda: None}, {"step_ended": lambda steps: None}],
    ids=["unknown hook", "unknown argument"],
)
def test_hooks_that_do_not_exist_are_reported(hooks: Hooks, reports: list[str], functions: dict[str, Any]) -> None:
    module = package(**functions)
    hooks.register("unlabeled-demo", module)
    hooks.register("unlabeled-demo", module)
    hooks.register("unlabeled-other", package(step_ended=lambda: None))
    (report,) = reports
    assert report.startswith("plugin 'unlabeled-demo': its hooks cannot be used: PluginValidationError: ")
    assert "\n" not in report


def test_registering_twice_calls_once(hooks: Hooks) -> None:
    seen: list[int] = []
    module = package(step_ended=lambda step: seen.append(step))
    hooks.register("unlabeled-demo", module)
    hooks.register("unlabeled-demo", module)
    hooks.call("step_ended", run=RUN, step=7, metrics={})
    assert seen == [7]


def test_a_wrapper_sees_the_others(hooks: Hooks) -> None:
    def around() -> Any:
        return (yield)

    module = ModuleType("package")
    module.step_ended = hookimpl(around, wrapper=True)  # type: ignore[attr-defined]
    hooks.register("unlabeled-demo", module)
    hooks.call("step_ended", run=RUN, step=1, metrics={})
