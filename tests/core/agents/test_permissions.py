"""Rules: the strictest wins, and no sub-task has more than its parent."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.agents.path_globs import matches_path
from orchestrator_core.agents.permission_gate import Answer, NobodyToAsk, PermissionGate
from orchestrator_core.agents.permission_rules import matches_command
from orchestrator_core.agents.permissions import Decision, Permissions, ToolCall
from orchestrator_core.errors import PermissionDenied
from orchestrator_core.safety import Effect, PermissionRule
from orchestrator_core.tools.registry import Permission
from orchestrator_core.workspace.root import Root

ROOT = Root(tempfile.gettempdir())  # decisions about names: nothing is read or written
ALLOW, ASK, DENY = Effect.ALLOW, Effect.ASK, Effect.DENY

globs = st.sampled_from(
    ["", "**", "*.py", "src/**", "src/*", "src", "a?c", "**/test_*.py", ".env", "docs/**/*.md"]
)
patterns = st.sampled_from(
    ["", "*", "git *", "git status", "git diff *", "rm *", "pytest", "pytest -q *", "g?t *", "sh *"]
)
tools = st.sampled_from(["*", "read", "write", "execute", "grep", "edit*", "shell"])
rules = st.builds(PermissionRule, st.sampled_from(Effect), tools, globs, patterns)
some_rules = st.lists(rules, max_size=5)
calls = st.builds(
    ToolCall,
    st.sampled_from(["grep", "edit", "edit_file", "shell", "read"]),
    st.sampled_from(Permission),
    st.lists(
        st.sampled_from(["src/a.py", "test_a.py", ".env", "docs/x/y.md", "abc", "../x", "", "."]),
        max_size=3,
    ).map(tuple),
    st.sampled_from(
        [
            *("", "git status", "git diff x", "rm -rf src", "pytest", "pytest -q src && rm x"),
            *("sh -c 'git status; rm x'", "git $(rm x)", "ls | xargs rm", "env pytest", "cat ../x"),
            *("find . -exec rm {} +", "git status > src/a.py", "$x", "'"),
        ]
    ),
)


@st.composite
def narrowings(draw: st.DrawFn) -> dict[str, object]:
    permissions = draw(st.none() | st.sets(st.sampled_from(Permission)))
    return {
        "rules": draw(some_rules),
        "permissions": permissions,
        "files": draw(st.lists(globs.filter(bool), max_size=2)),
    }


@given(some_rules, some_rules, st.booleans(), st.lists(narrowings(), max_size=4), calls)
def test_a_childs_rights_are_a_subset_of_its_parents(
    own: list[PermissionRule],
    workspace: list[PermissionRule],
    trusted: bool,
    narrowed: list[dict[str, object]],
    call: ToolCall,
) -> None:
    rights = Permissions.of(ROOT, own, workspace, workspace_trusted=trusted)
    for arguments in narrowed:
        child = rights.narrowed(**arguments)  # type: ignore[arg-type]
        assert child.decide(call).effect.rank >= rights.decide(call).effect.rank
        rights = child


@given(some_rules, some_rules, calls)
def test_rules_of_an_untrusted_workspace_take_away_only(
    own: list[PermissionRule], workspace: list[PermissionRule], call: ToolCall
) -> None:
    alone = Permissions.of(ROOT, own).decide(call)
    both = Permissions.of(ROOT, own, workspace).decide(call)
    assert both.effect.rank >= alone.effect.rank


@given(some_rules, rules, calls)
def test_one_more_rule_that_denies_or_asks_never_loosens(
    own: list[PermissionRule], more: PermissionRule, call: ToolCall
) -> None:
    if more.effect is not ALLOW:
        before = Permissions.of(ROOT, own).decide(call).effect
        assert Permissions.of(ROOT, [*own, more]).decide(call).effect.rank >= before.rank


@given(some_rules, calls)
def test_a_decision_says_why_and_is_the_same_again(
    own: list[PermissionRule], call: ToolCall
) -> None:
    rights = Permissions.of(ROOT, own)
    decision = rights.decide(call)
    assert decision == rights.decide(call)
    assert decision.effect is ALLOW or decision.reason


@pytest.mark.parametrize(
    ("permission", "effect"),
    [(Permission.READ, ALLOW), (Permission.WRITE, ALLOW), (Permission.EXECUTE, ASK)],
)
def test_by_default_files_are_open_and_commands_ask(permission: Permission, effect: Effect) -> None:
    command = "make" if permission is Permission.EXECUTE else ""
    call = ToolCall("x", permission, ("src/a.py",), command)
    assert Permissions.of(ROOT).decide(call).effect is effect


def test_the_strictest_matching_rule_wins_in_any_order() -> None:
    own = [PermissionRule(e, command=c) for e, c in ((ALLOW, "git *"), (DENY, "git push *"))]
    for order in (own, own[::-1]):
        rights = Permissions.of(ROOT, order)
        for command, effect in (("git log", ALLOW), ("git push origin", DENY), ("git push", DENY)):
            call = ToolCall("shell", Permission.EXECUTE, command=command)
            assert rights.decide(call).effect is effect
    both = ToolCall("shell", Permission.EXECUTE, command="git log && git push")
    assert rights.decide(both) == Decision(DENY, "the settings: deny `git push *`")


def test_rules_of_a_trusted_workspace_count_as_the_persons_own() -> None:
    rule = PermissionRule(ALLOW, command="make *")
    call = ToolCall("shell", Permission.EXECUTE, command="make test")
    assert Permissions.of(ROOT, [], [rule]).decide(call).effect is ASK
    assert Permissions.of(ROOT, [], [rule], workspace_trusted=True).decide(call).effect is ALLOW


def test_a_task_writes_only_the_files_it_is_for() -> None:
    task = Permissions.of(ROOT).narrowed(files=["src/**/*.py"], source="task T1")
    for path, effect in (("src/a/b.py", ALLOW), ("src/a.txt", DENY), ("tests/a.py", DENY)):
        assert task.decide(ToolCall("edit", Permission.WRITE, (path,))).effect is effect
        assert task.decide(ToolCall("read", Permission.READ, (path,))).effect is ALLOW
    several = task.decide(ToolCall("edit", Permission.WRITE, ("src/a.py", "tests/a.py")))
    assert several == Decision(DENY, "task T1: no rule allows it")


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("*.py", "src/a.py", True),
        ("src/*.py", "src/b/a.py", False),
        ("src/**/*.py", "src/a.py", True),
        ("src/**/*.py", "src/b/c/a.py", True),
        ("src", "src/b/a.py", True),
        ("src/", "src/b/a.py", True),
        ("/src/**", "lib/src/a.py", False),
        (".git", "sub/.git/hooks/x", True),
        (".git", "src/.github", False),
        ("A?c.[ch]", "abC.H", True),
        ("a[!0-9]", "a5", False),
        ("a.py", "axpy", False),
    ],
)
def test_globs(glob: str, path: str, matches: bool) -> None:
    assert matches_path(glob, path) is matches


@pytest.mark.parametrize(
    ("pattern", "words", "allows", "forbids"),
    [
        ("git *", ["git"], True, True),
        ("git *", ["git", "log", "-1"], True, True),
        ("git log", ["git", "log", "-1"], False, False),
        ("git *", ["gitk"], False, False),
        ("git lo?", ["git", "log"], True, True),
        ("git *", ["git", None], False, True),
        ("git push", ["git", None], False, True),
        ("git push", [None, "push"], False, True),
        ("git push --force", ["git", None], False, True),
        ("git push", ["rm", None], False, False),
        ("* --force", ["git", "--force"], True, True),
    ],
)
def test_words_that_are_not_known_match_only_what_forbids(
    pattern: str, words: list[str | None], allows: bool, forbids: bool
) -> None:
    assert matches_command(PermissionRule(ALLOW, command=pattern), words) is allows
    assert matches_command(PermissionRule(DENY, command=pattern), words) is forbids


class Person:
    """Answers as told, and counts the questions."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.at_once = 0

    async def ask(self, call: ToolCall, decision: Decision) -> Answer:
        assert decision.effect is ASK
        self.at_once += 1
        assert self.at_once == 1
        await asyncio.sleep(0)
        self.at_once -= 1
        self.asked.append(call.summary)
        return self.answers.pop(0)


MAKE = ToolCall("shell", Permission.EXECUTE, command="make")


async def test_an_answer_holds_once_or_for_the_mission() -> None:
    person = Person(Answer.ONCE, Answer.NO, Answer.ALWAYS)
    gate, rights = PermissionGate(person), Permissions.of(ROOT)
    await gate.require(MAKE, rights)
    with pytest.raises(PermissionDenied, match="not allowed by the person"):
        await gate.require(MAKE, rights)
    await gate.require(MAKE, rights)
    await gate.require(MAKE, rights)
    assert person.asked == ["shell make"] * 3


async def test_an_answer_for_the_mission_is_not_for_what_is_denied() -> None:
    gate, rights = PermissionGate(Person(Answer.ALWAYS)), Permissions.of(ROOT)
    await gate.require(MAKE, rights)
    with pytest.raises(PermissionDenied, match="deny"):
        await gate.require(MAKE, rights.narrowed([PermissionRule(DENY, command="make")]))


async def test_several_workers_ask_one_after_the_other_and_the_same_only_once() -> None:
    person = Person(Answer.ALWAYS, Answer.ALWAYS)
    gate, rights = PermissionGate(person), Permissions.of(ROOT)
    other = ToolCall("shell", Permission.EXECUTE, command="make test")
    await asyncio.gather(*(gate.require(call, rights) for call in [MAKE, other] * 5))
    assert sorted(person.asked) == ["shell make", "shell make test"]


async def test_without_anybody_to_ask_it_is_no() -> None:
    with pytest.raises(PermissionDenied):
        await PermissionGate(NobodyToAsk()).require(MAKE, Permissions.of(ROOT))


def test_rules_name_workspaces_with_links_in_their_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    rights = Permissions.of(Root(tmp_path / "link"))
    inside = str(tmp_path / "real" / "a.py")
    assert rights.decide(ToolCall("edit", Permission.WRITE, (inside,))).effect is ALLOW
