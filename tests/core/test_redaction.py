"""Secrets are taken out of logs and records, and nothing else is."""

from __future__ import annotations

import io
import logging

import pytest

from orchestrator_core.events import TaskFinished
from orchestrator_core.records import TaskState
from orchestrator_core.redaction import MASK, RedactingFilter, Redactor, names_secret

REDACTOR = Redactor({"MY_API_KEY": "hunter22", "PATH": "/usr/bin", "A_TOKEN": "ab"}, ["zwölf=x/y"])

# Made here from parts, so that nobody takes them for real ones.
SECRETS = {
    "value of a variable": "hunter22",
    "given": "zwölf=x/y",
    "OpenAI": "sk-proj-" + "a1B2" * 8,
    "Anthropic": "sk-ant-api03-" + "a1B2" * 8,
    "GitHub": "ghp_" + "a1B2" * 9,
    "GitHub, fine-grained": "github_pat_" + "a1B2" * 9,
    "GitLab": "glpat-" + "a1B2" * 5,
    "AWS": "AKIA" + "ABCD" * 4,
    "Google": "AIza" + "a1B2" * 9,
    "Slack": "xoxb-" + "1234-" * 4,
    "Hugging Face": "hf_" + "a1B2" * 8,
    "npm": "npm_" + "a1B2" * 9,
    "PyPI": "pypi-" + "a1B2" * 9,
    "Stripe": "sk_live_" + "a1B2" * 6,
    "web token": "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSM",
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----",
    "cut private key": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz",
}
LABELLED = {
    "bearer": ("Authorization: Bearer ", "abc.def-1234567"),
    "basic": ("authorization: basic ", "dXNlcjpwYXNz"),
    "JSON": ('{"x-api-key": "', "q1w2e3r4t5"),
    "URL": ("https://user:", "s3cr3tpw"),
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_secret_is_taken_out_wherever_it_stands(secret: str) -> None:
    for text in (secret, f"key={secret} and more", f"('{secret}',)", f"a\n{secret}\nb"):
        clean = REDACTOR.text(text)
        assert secret not in clean
        assert MASK in clean
        assert REDACTOR.text(clean) == clean


@pytest.mark.parametrize(("label", "secret"), LABELLED.values(), ids=LABELLED)
def test_what_a_header_or_address_carries_is_taken_out(label: str, secret: str) -> None:
    clean = REDACTOR.text(f"before {label}{secret}@host/path after")
    assert secret not in clean
    assert "before" in clean
    assert "after" in clean


@pytest.mark.parametrize(
    "text",
    [
        *(
            "basic authentication is used",
            "the bearer of bad news",
            "ab",
            "/usr/bin",
            "https://a/b:c",
        ),
        *(
            "risk-averse people",
            "def sk_live(): ...",
            "commit 0123456789abcdef0123456789abcdef01234567",
        ),
        *("http://localhost:8080/x", "class Authorization: pass", "a@b.example", "src/hf_utils.py"),
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert REDACTOR.text(text) == text


def test_names_of_variables() -> None:
    for name in ("OPENAI_API_KEY", "GITHUB_TOKEN", "PGPASSWORD", "aws_secret_access_key", "MY_PAT"):
        assert names_secret(name)
    for name in ("PATH", "HOME", "PWD", "KEYBOARD", "MONKEY", "TOKENIZERS_PARALLELISM", "COMPAT"):
        assert not names_secret(name)


def test_records_are_cleaned_and_stay_what_they_are() -> None:
    dirty = TaskFinished(
        mission_id="m",
        task_id="T1",
        state=TaskState.FAILED,
        reason="no hunter22",
        notes=("x", "hunter22"),
    )
    clean = REDACTOR.record(dirty)
    assert clean == TaskFinished(
        mission_id="m", task_id="T1", state=TaskState.FAILED, reason=f"no {MASK}", notes=("x", MASK)
    )
    assert REDACTOR.record(clean) is clean


def test_logs_have_no_secret_in_message_arguments_or_traceback() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter(REDACTOR))
    logger = logging.getLogger("redaction.test")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        raise ValueError("hunter22")
    except ValueError:
        logger.exception("sent %s to %s", "hunter22", {"token": "hunter22"})
    logger.warning("%d %% of hunter22", 100)
    logger.removeHandler(handler)
    text = stream.getvalue()
    assert "hunter22" not in text
    assert "ValueError" in text
    assert "100 % of" in text
