"""Settings: every source, and what is wrong is told and replaced by its default."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator_core.config import Flags, Settings
from orchestrator_core.settings_sources import FLAG_VARIABLES, load


def test_defaults_need_no_source() -> None:
    assert load(None, environment={}) == (Settings(), [])


def test_later_sources_win(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.opencode-orchestrator]\nworkers = 2\nlogLevel = "debug"\n[tool.opencode-orchestrator.limits]\nworker = 3\n'
    )
    (tmp_path / ".opencode").mkdir()
    (tmp_path / ".opencode/orchestrator.toml").write_text("workers = 5\n")

    settings, invalid = load(tmp_path, editor={"limits": {"waitS": 7}}, environment={})

    assert not invalid
    assert (settings.workers, settings.log_level) == (5, "debug")
    assert (settings.limits.worker, settings.limits.wait_s) == (3, 7.0)


@pytest.mark.parametrize(
    ("editor", "key"),
    [
        ({"workers": "many"}, "workers"),
        ({"workers": -1}, "workers"),
        ({"mode": "sideways"}, "mode"),
        ({"limits": {"worker": 0}}, "limits.worker"),
        ({"limits": {"nonsense": 1}}, "limits.nonsense"),
        ({"cleanup": {"files": -1}}, "cleanup.files"),
        ({"cleanup": False}, "cleanup"),
        ({"limits": 3}, "limits"),
        ({"unknown": 1}, "unknown"),
        ({"checks": "pytest"}, "checks"),
    ],
)
def test_invalid_value_is_told_and_the_default_used(editor: dict[str, object], key: str) -> None:
    settings, invalid = load(None, editor={**editor, "planFile": "plan.md"}, environment={})

    assert [(problem.source, problem.key) for problem in invalid] == [("editor", key)]
    assert invalid[0].message
    assert settings == Settings(plan_file="plan.md")


def test_broken_file_is_told_and_the_rest_used(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool\n")

    settings, invalid = load(tmp_path, editor={"workers": 4}, environment={})

    assert settings.workers == 4
    assert invalid[0].source == "pyproject.toml"


@pytest.mark.parametrize(("variable", "name"), FLAG_VARIABLES.items())
def test_flags_are_on_unless_false(variable: str, name: str) -> None:
    for value, on in (("false", False), ("False", False), ("true", True), ("0", True), ("", True)):
        settings, _ = load(None, environment={variable: value})
        assert getattr(settings.flags, name) is on
    assert Settings().flags == Flags()


def test_safety_comes_from_the_person_and_the_workspace_only_tightens_it(tmp_path: Path) -> None:
    own = tmp_path / "settings.toml"
    own.write_text(
        'network = true\npermissions = [{effect = "allow", command = "make *"}]\n'
        "[budget]\ntokens = 9_000_000\nmoneyUsd = 5\n"
    )
    root = tmp_path / "workspace"
    (root / ".opencode").mkdir(parents=True)

    alone, invalid = load(root, person=own, environment={})
    assert invalid == []
    assert (alone.network, alone.budget.tokens, alone.budget.money_usd) == (True, 9_000_000, 5)
    assert [rule.command for rule in alone.permissions] == ["make *"]

    (root / ".opencode" / "orchestrator.toml").write_text(
        'network = false\nconfinement = "strict"\npermissions = [{effect = "deny", tool = "shell"}]\n'
        "[budget]\ntokens = 100\nmoneyUsd = 50\n"
    )
    settings, invalid = load(root, person=own, editor={"confinement": "off"}, environment={})
    assert invalid == []
    assert (settings.network, settings.confinement) == (False, "strict")
    assert (settings.budget.tokens, settings.budget.money_usd) == (100, 5)
    assert settings.permissions == alone.permissions
    assert [rule.tool for rule in settings.workspace_permissions] == ["shell"]


def test_a_rule_with_a_mistake_is_told(tmp_path: Path) -> None:
    rules = [{"effect": "permit"}]
    settings, invalid = load(None, editor={"permissions": rules}, environment={})
    assert settings.permissions == ()
    assert [problem.key for problem in invalid] == ["permissions"]
