"""Settings, what is kept of a model under the home, the report's rates, and what logs may say."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_type_hints

import pytest
import structlog

from schemas.records import Counts, Job, JobKind, JobOptions, JobState, StageStat
from tests.support.bundles import write_bundle
from workers.adapters.bundle import Bundle, load_bundle
from workers.adapters.vector_index.validation import MAX_DIVERSE, MAX_LIMIT
from workers.bootstrap import Process
from workers.cli.checks import run_checks
from workers.cli.search import search
from workers.errors import ConfigurationError
from workers.job_json import elapsed_s, job_json, worked_s
from workers.readable import readable
from workers.settings import Settings, load_settings
from workers.telemetry import MaskingFormatter, configure_logging, masked

CANARY = "cAnArY-3x4mple"


# ----------------------------------------------------------------------------------------------------------- settings


def test_an_empty_variable_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = load_settings()
    for name in Settings.model_fields:
        monkeypatch.setenv(f"CATALOG_{name.upper()}", "")
    assert load_settings() == defaults
    monkeypatch.setenv("CATALOG_HOME", "elsewhere")
    assert load_settings().home == Path("elsewhere")


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_WINDOW", "0")
    with pytest.raises(ConfigurationError, match="CATALOG_WINDOW"):
        load_settings()


# --------------------------------------------------------------------------------------------------------- the bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_bundle(write_bundle(tmp_path / "bundle"))


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(load_settings(home=tmp_path / "home"))


def test_a_model_is_kept_beside_what_a_killed_process_left(process: Process, bundle: Bundle) -> None:
    left = process.home / "models" / f".{bundle.card.digest[:32]}.{os.getpid()}"
    left.mkdir(parents=True)
    (left / "card.json").write_text("half")
    process.keep_bundle(bundle)
    process.keep_bundle(bundle)
    assert process.bundle(bundle.card.digest).card == bundle.card


def test_a_full_disk_leaves_no_half_a_model(process: Process, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: str, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", target)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copy2", full)
        patched.setattr(shutil.copytree, "__kwdefaults__", None)
        patched.setattr(shutil.copytree, "__defaults__", (False, None, full, False, False))
        with pytest.raises(ConfigurationError, match=r"models/.*No space left on device"):
            process.keep_bundle(bundle)
    assert list((process.home / "models").iterdir()) == []
    process.keep_bundle(bundle)
    assert [entry.name for entry in (process.home / "models").iterdir()] == [bundle.card.digest[:32]]


def test_a_models_folder_that_cannot_be_made_is_named(process: Process, bundle: Bundle) -> None:
    (process.home / "models").write_text("a file in the way")
    with pytest.raises(ConfigurationError, match=r"models/.*(File exists|Not a directory)"):
        process.keep_bundle(bundle)


# --------------------------------------------------------------------------------------------------------- the doctor


def test_one_failing_check_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error", "/dev/disk")

    monkeypatch.setenv("CATALOG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CATALOG_MODEL", str(write_bundle(tmp_path / "bundle")))
    monkeypatch.setattr(shutil, "disk_usage", broken)
    monkeypatch.setattr(Process, "open_embedder", broken)
    monkeypatch.setattr(Process, "index", property(broken))
    found = {check.name: check for check in run_checks()}
    assert [name for name, check in found.items() if not check.ok] == ["home", "engine", "index"]
    assert found["home"].detail == "OSError: [Errno 5] Input/output error: '/dev/disk'"
    assert found["ledger"].ok


# --------------------------------------------------------------------------------------------------------- the report

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def job_of(*, hours: float, wall_s: float, finished: int, timed: int) -> Job:
    return Job(
        id="1",
        catalog="shop",
        generation=1,
        kind=JobKind.SYNC,
        state=JobState.DONE,
        options=JobOptions(),
        counts=replace(Counts(), indexed=finished),
        planned=finished,
        finished=finished,
        scan_complete=True,
        scan_cursor=None,
        deletes_planned=True,
        cancel_requested=False,
        created_at=BEGAN,
        started_at=BEGAN,
        finished_at=BEGAN + timedelta(hours=hours),
        error=None,
        stages=(StageStat(stage="embed", busy_s=1.0, items=3), StageStat(stage="record", busy_s=1.0, items=timed)),
        wall_s=wall_s,
    )


def test_the_rate_is_over_the_time_worked_not_over_the_night_between() -> None:
    report = job_json(job_of(hours=10, wall_s=100.0, finished=5000, timed=5000))
    assert (report["seconds"], report["images_per_s"]) == (36_000.0, 50.0)


def test_images_of_a_killed_batch_count_with_their_time() -> None:
    assert worked_s(job_of(hours=10, wall_s=1.0, finished=5000, timed=50)) == pytest.approx(100.0)


@pytest.mark.parametrize(("wall_s", "timed"), [(0.0, 0), (9000.0, 5000), (0.0, 50)])
def test_no_more_is_worked_than_has_gone_by(wall_s: float, timed: int) -> None:
    job = job_of(hours=1, wall_s=wall_s, finished=5000, timed=timed)
    assert worked_s(job) == elapsed_s(job) == 3600.0


# --------------------------------------------------------------------------------------------------------- the search


def test_the_bounds_that_the_command_promises_are_the_index_s() -> None:
    option = get_type_hints(search, include_extras=True)["offset"].__metadata__[0]
    assert option.max == MAX_LIMIT
    assert f"{MAX_DIVERSE:,}" in option.help


@pytest.mark.parametrize(
    ("text", "spelled"),
    [("Größe", "Größe"), ("a\udcff.jpg", "a\\xff.jpg"), ("é\udcc3", "é\\xc3"), ("\ud800x", "\\ud800x")],
)
def test_every_text_can_be_written(text: str, spelled: str) -> None:
    assert readable(text) == spelled


# ------------------------------------------------------------------------------------------------------------ secrets


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql+psycopg://user:{CANARY}@host/db is down",
        f"https://{CANARY}@host/a",
        f"amqp://guest:p@ss{CANARY}@host//",
        f"https://bucket.example/a.jpg?X-Amz-Signature={CANARY}&X-Amz-Expires=60",
        f"https://blob.example/a.jpg?sv=1&sig={CANARY}",
        f"AWS_SECRET_ACCESS_KEY={CANARY} in the environment",
        f'{{"aws_session_token": "{CANARY}"}}',
        f"{{'Authorization': 'Bearer {CANARY}'}}",
        f"Authorization: Basic {CANARY}",
        f"password = {CANARY}",
    ],
)
def test_texts_lose_their_credentials(text: str) -> None:
    assert CANARY not in masked(text)
    assert "***" in masked(text)


@pytest.mark.parametrize(
    "text",
    ["s3://shop/images/a@2x.jpg", "https://host:9000/a?b=c", "abfss://box@account.dfs.core.windows.net/x", "3 tokens"],
)
def test_texts_without_credentials_stay(text: str) -> None:
    assert masked(text) == text


def test_logs_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    before = structlog.get_config()
    try:
        configure_logging("INFO")
        log = structlog.get_logger()
        url = f"redis://:{CANARY}@host"
        try:
            raise ValueError(f"cannot reach {url}")
        except ValueError as error:
            log.exception("it failed", error=error, urls=[url], settings={"Password": CANARY, "host": "db"}, count=3)
        message = f"at {url}"
        log.warning(message, aws_secret_access_key=CANARY, access_key=CANARY, token=CANARY, path=Path("a.jpg"))
    finally:
        structlog.configure(**before)
    assert CANARY not in written.getvalue()
    first, second = map(json.loads, written.getvalue().splitlines())
    assert (first["settings"], first["count"]) == ({"Password": "***", "host": "db"}, 3)
    assert "ValueError: cannot reach redis://***@host" in first["exception"]
    assert second["event"] == "at redis://***@host"


def test_logs_of_libraries_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    before, level = structlog.get_config(), root.level
    try:
        configure_logging("INFO")
        (handler,) = root.handlers
    finally:
        structlog.configure(**before)
        root.setLevel(level)
    assert isinstance(handler.formatter, MaskingFormatter)
    try:
        raise ValueError(f"postgresql://u:{CANARY}@h")
    except ValueError:
        record = logging.LogRecord("lib", logging.ERROR, "", 1, "secret=%s", (CANARY,), sys.exc_info())
    assert CANARY not in handler.format(record)
    assert "postgresql://***@h" in handler.format(record)
