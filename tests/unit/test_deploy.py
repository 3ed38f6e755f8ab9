"""What can be known of `deploy/` without a container engine: files, commands, settings, schema, secrets."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pathspec
import pytest
import yaml
from docker.utils.build import exclude_paths
from typer.main import get_command
from typer.testing import CliRunner

from tests.support.commands import wait_until
from workers.cli.app import app
from workers.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
OTHER_VARIABLES = frozenset({"CATALOG_NAME"})
"""Read by the command line itself."""
SECRETIVE = re.compile("PASSWORD|SECRET|TOKEN|KEY")
PINNED = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?(@sha256:[0-9a-f]{64})?")


def example() -> dict[str, str]:
    lines = (DEPLOY / "example.env").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def interpolated(text: str, values: dict[str, str]) -> str:
    """As Compose does it: `${NAME}`, `${NAME:-default}`, `${NAME:?error}`, and `$$` for a dollar."""

    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        name, how, text = found["name"], found["how"], found["text"]
        if values.get(name):
            return values[name]
        assert how != ":?", f"{name} is needed and not in example.env: {text}"
        return text or ""

    return re.sub(r"\$\$|\$\{(?P<name>\w+)(?:(?P<how>:[-?])(?P<text>[^}]*))?\}", value, text)


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(interpolated(COMPOSE, example()))
    return loaded


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services().items() if "build" in service}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments; continued lines are one."""
    joined = re.sub(r"\\\n", " ", DOCKERFILE)
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [(line.partition(" ")[0].upper(), line.partition(" ")[2].strip()) for line in lines]


# --------------------------------------------------------------------------------------------------------- Dockerfile


@pytest.fixture(scope="module")
def context() -> set[str]:
    """The files that an engine would be sent, by the rules of its own client."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    return {path for path in exclude_paths(str(ROOT), patterns) if (ROOT / path).is_file()}


def test_every_copied_file_is_in_the_build_context(context: set[str]) -> None:
    for name, arguments in instructions():
        if name == "COPY" and "--from=" not in arguments:
            *sources, _ = [word for word in shlex.split(arguments) if not word.startswith("--")]
            for source in sources:
                path = ROOT / source
                inside = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
                wanted = {str(p.relative_to(ROOT)) for p in inside if "__pycache__" not in p.parts}
                assert wanted, source
                assert wanted <= context, source


def test_nothing_else_is_in_the_build_context(context: set[str]) -> None:
    tops = {path.partition("/")[0] for path in context}
    assert tops == {".dockerignore", "pyproject.toml", "README.md", "schemas", "workers", "deploy"}
    assert {path for path in context if path.startswith("deploy/")} == {"deploy/alive.sh"}
    assert not any("__pycache__" in path for path in context)


def test_the_image_is_small_pinned_and_runs_without_root() -> None:
    found = instructions()
    assert [arguments for name, arguments in found if name == "ARG"] == ["PYTHON=python:3.11.14-slim-bookworm"]
    assert all(arguments.startswith("${PYTHON}") for name, arguments in found if name == "FROM")
    assert "torch" not in DOCKERFILE
    assert "[postgres]" in DOCKERFILE
    last = dict(found)
    assert last["USER"] == "10001:10001"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(last["ENTRYPOINT"]) == ["catalog"], "the exec form: SIGTERM reaches the process itself"


def test_packages_in_the_image_are_those_the_wheel_needs() -> None:
    copied = {word for name, arguments in instructions() if name == "COPY" for word in arguments.split()}
    assert {"schemas", "workers", "pyproject.toml", "README.md"} <= copied


def test_the_images_default_command_is_one() -> None:
    command = dict(instructions())["CMD"]
    assert_runs(json.loads(command))


# ------------------------------------------------------------------------------------------------------------ compose


def test_the_file_holds_against_the_compose_specification() -> None:
    found = files("check_jsonschema").joinpath("builtin_schemas", "vendor", "compose-spec.json")
    jsonschema.validate(compose(), json.loads(found.read_text(encoding="utf-8")))


def test_every_command_is_one() -> None:
    assert {"worker", "worker-interactive", "beat", "events", "migrate"} <= set(ours())
    for service in ours().values():
        assert_runs(service["command"])


def assert_runs(arguments: list[str]) -> None:
    """The command exists, takes these options, and explains itself."""
    command, rest, context = get_command(app), list(arguments), None
    while hasattr(command, "commands"):
        assert rest[0] in command.commands, f"there is no command {rest[0]} in {arguments}"  # type: ignore[attr-defined]
        command = command.commands[rest.pop(0)]  # type: ignore[attr-defined]
    command.make_context("catalog", rest, parent=context)
    assert CliRunner().invoke(app, [*arguments[: len(arguments) - len(rest)], "--help"]).exit_code == 0


def test_every_setting_is_one_and_has_a_good_value(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {f"CATALOG_{name.upper()}" for name in Settings.model_fields} | OTHER_VARIABLES
    named = set(re.findall(r"\bCATALOG_[A-Z0-9_]+", DOCKERFILE + COMPOSE + (DEPLOY / "example.env").read_text()))
    assert named <= known, named - known
    for name, service in ours().items():
        with monkeypatch.context() as environment:
            for variable, value in service["environment"].items():
                environment.setenv(variable, str(value))
            settings = load_settings()
            assert settings.ledger_url, name
            assert settings.broker_url, name
            assert settings.sources, name


def test_only_the_webhook_has_the_webhooks_token() -> None:
    having = [name for name, service in services().items() if "CATALOG_EVENTS_TOKEN" in service.get("environment", {})]
    assert having == ["events"]


def test_images_are_pinned() -> None:
    for name, service in services().items():
        assert PINNED.fullmatch(service["image"]), (name, service["image"])


def test_nothing_is_published_but_on_loopback() -> None:
    published = [port for service in services().values() for port in service.get("ports", ())]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published)


def test_our_containers_may_do_little() -> None:
    for name, service in ours().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
    for name in ("worker", "worker-interactive"):
        assert services()[name]["stop_grace_period"] == "120s"
    for name, service in services().items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory"} <= set(limits), name
        assert "no-new-privileges:true" in service["security_opt"], name


def test_everything_that_serves_is_asked_whether_it_is_well() -> None:
    image = [name for name, _ in instructions()]
    assert "HEALTHCHECK" in image
    for name in ("postgres", "valkey", "qdrant"):
        assert "test" in services()[name]["healthcheck"], name


def test_what_is_waited_for_is_there() -> None:
    every = services()
    for name, service in every.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in every, name
            assert "profiles" not in every[other], f"{name} waits for {other}, which need not be started"
            if how["condition"] == "service_healthy":
                assert every[other].get("healthcheck"), other
    for path in ("valkey/start.sh", "valkey/valkey.conf", "valkey/users.acl.template"):
        assert (DEPLOY / path).is_file()
    for service in every.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in compose()["volumes"] or (DEPLOY / source).exists(), volume


# ------------------------------------------------------------------------------------------------------------ secrets


def test_no_secret_is_in_the_repository() -> None:
    as_written = yaml.safe_load(COMPOSE)["services"]
    found = 0
    for service in as_written.values():
        for name, value in service.get("environment", {}).items():
            if SECRETIVE.search(name) or "://" in str(value):
                found += 1
                assert "${" in str(value) or not re.search(r"//[^/]*:[^/]*@", str(value)), name
                assert "${" in str(value) or "://" in str(value), name
    assert found >= 8
    assert SECRETIVE.search(DOCKERFILE) is None
    assert "requirepass" not in (DEPLOY / "valkey" / "valkey.conf").read_text()
    users = (DEPLOY / "valkey" / "users.acl.template").read_text()
    assert not re.search(r" [>#](?!@PASSWORD_SHA256@)", users)
    assert "nopass" not in users
    for name, value in example().items():
        if SECRETIVE.search(name):
            assert value.startswith("change-me"), name


def test_the_filled_in_file_is_never_committed() -> None:
    ignore = pathspec.GitIgnoreSpec.from_lines((ROOT / ".gitignore").read_text(encoding="utf-8").splitlines())
    assert ignore.match_file("deploy/.env")
    assert not ignore.match_file("deploy/example.env")


def test_secrets_come_from_the_environment_only() -> None:
    for name, service in services().items():
        line = " ".join(map(str, service.get("command", ())))
        assert not any(value in line for value in example().values() if value.startswith("change-me")), name


# ------------------------------------------------------------------------------------------------------------- health


def test_a_process_that_hangs_is_told_from_one_that_works(tmp_path: Path) -> None:
    code = "import time\nwhile True: time.sleep(0.01)"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:

        def alive() -> bool:
            command = ["sh", str(DEPLOY / "alive.sh"), str(process.pid), str(tmp_path / "memory")]
            return subprocess.run(command, capture_output=True).returncode == 0

        assert alive(), "nothing is known yet"
        for _ in range(3):
            before = status(process.pid)
            wait_until(lambda before=before: status(process.pid) != before)  # type: ignore[misc]
            assert alive()
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: "T (stopped)" in Path(f"/proc/{process.pid}/status").read_text())
        alive()
        assert not alive()
        process.send_signal(signal.SIGCONT)
        before = status(process.pid)
        wait_until(lambda: status(process.pid) != before)
        assert alive()
    finally:
        process.kill()
        assert not alive(), "a zombie"
        process.wait()
        assert not alive(), "no process at all"


def status(pid: int) -> list[str]:
    return re.findall(r"ctxt_switches:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
