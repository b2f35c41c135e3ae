"""Train a small network to read digits, so that it may be stopped or killed at any moment.

Needs numpy and nothing of nasexp: settings come from the environment, everything is written to
`output/` in the current folder, and a training goes on from the newest whole checkpoint there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np

DATA = Path(__file__).with_name("digits.npz")
OUTPUT = Path("output")
TRAIN_ROWS = 1_400
CHECKPOINTS_KEPT = 3
MOMENTUM = 0.9

Number = TypeVar("Number", int, float)
Array = Any  # numpy's own array types need numpy where the types are checked
Network = dict[str, Array]  # the weights by name, and beside each `w` its `momentum_w`

say = partial(print, flush=True)  # at once, into a file or a pipe too


class EndedEarly(Exception):  # noqa: N818 - a stop that was asked for is no error
    """Exit code, and one sentence that says why the training ends before its last epoch."""


class StopRequest:
    """Remembers SIGTERM or Ctrl-C until the training stands between two steps."""

    def __init__(self) -> None:
        self._signal = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._remember)

    def _remember(self, number: int, _frame: object) -> None:
        self._signal = number

    def check(self, saved: int, pause: float = 0.0) -> None:
        """Raise as soon as a signal comes within the pause; `saved` is the newest epoch on disk."""
        end = time.monotonic() + pause
        while not self._signal and time.monotonic() < end:
            time.sleep(min(pause, 0.05))
        if self._signal:
            name = signal.Signals(self._signal).name
            raise EndedEarly(128 + self._signal, f"stopped by {name}, whole epochs saved: {saved}")


def setting(name: str, default: Number, low: Number, high: Number) -> Number:
    """Read a number from the environment, of the type of the default and within the limits."""
    text = os.environ.get(name, str(default))
    with suppress(ValueError):
        value = type(default)(text)
        if low <= value <= high:  # never true of nan
            return value
    kind = "a whole number" if isinstance(default, int) else "a number"
    raise EndedEarly(2, f"{name} is {text!r}, but must be {kind} from {low} to {high}.")


def load_digits() -> tuple[Array, Array]:
    """Return images (rows of 64 numbers from 0 to 1) and labels, in the same order for any seed."""
    with np.load(DATA) as data:
        order = np.random.default_rng(0).permutation(len(data["labels"]))
        return data["images"][order].astype(np.float32) / 16, data["labels"][order]


def fresh_network(hidden: int, seed: int) -> Network:
    draw = np.random.default_rng([seed, 0]).standard_normal
    weights = {
        "w1": draw((64, hidden), np.float32) * np.float32((2 / 64) ** 0.5),
        "b1": np.zeros(hidden, np.float32),
        "w2": draw((hidden, 10), np.float32) * np.float32((2 / hidden) ** 0.5),
        "b2": np.zeros(10, np.float32),
    }
    return weights | {f"momentum_{name}": np.zeros_like(w) for name, w in weights.items()}


def forward(net: Network, images: Array) -> tuple[Array, Array]:
    hidden = np.maximum(images @ net["w1"] + net["b1"], 0)
    return hidden, hidden @ net["w2"] + net["b2"]


def step(net: Network, images: Array, labels: Array, lr: float) -> float:
    """Move the weights down the gradient of the cross entropy once; return its sum."""
    rows = np.arange(len(labels))
    hidden, scores = forward(net, images)
    scores -= scores.max(axis=1, keepdims=True)
    log_shares = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    error = np.exp(log_shares)
    error[rows, labels] -= 1
    error /= len(labels)
    back = (error @ net["w2"].T) * (hidden > 0)
    slopes = {"w1": images.T @ back, "b1": back.sum(0), "w2": hidden.T @ error, "b2": error.sum(0)}
    for name, slope in slopes.items():
        momentum = net[f"momentum_{name}"]
        momentum[:] = MOMENTUM * momentum - lr * slope
        net[name] += momentum
    return -float(log_shares[rows, labels].sum())


def batches(size: int, seed: int, epoch: int) -> list[Array]:
    """Return the rows of each step, in an order that follows from seed and epoch alone."""
    order = np.random.default_rng([seed, epoch]).permutation(TRAIN_ROWS)
    return [order[start : start + size] for start in range(0, TRAIN_ROWS, size)]


def write_whole(name: str, content: bytes) -> None:
    """Write a file that takes its name only when every byte is on the disk."""
    part = OUTPUT / f"{name}.tmp"
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(OUTPUT / name)


def npz(**arrays: Array) -> bytes:
    """Return the arrays as an npz file, the same bytes for the same values."""
    np.savez(file := BytesIO(), **arrays)
    return file.getvalue()


def save_checkpoint(net: Network, metrics: list[str]) -> None:
    """Write the checkpoint of the newest epoch, then the metrics as they stand in it."""
    epoch = len(metrics)
    oldest = OUTPUT / f"checkpoint-{epoch - CHECKPOINTS_KEPT:04}.npz"
    oldest.unlink(missing_ok=True)  # first: a kill after the write would leave it behind
    write_whole(f"checkpoint-{epoch:04}.npz", npz(metrics=np.array(metrics), **net))
    write_whole("metrics.jsonl", "".join(metrics).encode())


def newest_checkpoint(fresh: Network) -> tuple[Network, list[str]]:
    """Return network and metrics of the newest whole checkpoint, or the fresh network."""
    for path in sorted(OUTPUT.glob("checkpoint-*.npz"), reverse=True):
        try:
            with np.load(path) as file:
                net, metrics = {name: file[name] for name in fresh}, file["metrics"].tolist()
        except (BadZipFile, EOFError, KeyError, OSError, RuntimeError, ValueError):
            say(f"{path} cannot be read whole and is skipped")
            continue
        if (hidden := len(net["b1"])) != len(fresh["b1"]):
            advice = f"set NASEXP_PARAM_HIDDEN={hidden} or move {OUTPUT}/ away"
            raise EndedEarly(2, f"{path} has {hidden} hidden units: {advice}.")
        say(f"going on from {path}")
        return net, metrics
    return fresh, []


def train(stop: StopRequest) -> None:
    lr = setting("NASEXP_PARAM_LR", 0.1, 1e-6, 10.0)
    epochs = setting("NASEXP_PARAM_EPOCHS", 20, 1, 9_999)
    hidden = setting("NASEXP_PARAM_HIDDEN", 256, 1, 4_096)
    batch = setting("NASEXP_PARAM_BATCH", 32, 1, TRAIN_ROWS)
    pause = setting("NASEXP_PARAM_PAUSE", 1.0, 0.0, 3_600.0)
    seed = setting("NASEXP_SEED", 0, 0, 2**63 - 1)
    say(f"{lr=} {epochs=} {hidden=} {batch=} {pause=} {seed=} numpy={np.__version__}")
    OUTPUT.mkdir(exist_ok=True)
    images, labels = load_digits()
    net, metrics = newest_checkpoint(fresh_network(hidden, seed))
    write_whole("metrics.jsonl", "".join(metrics).encode())
    for epoch in range(len(metrics) + 1, epochs + 1):
        loss = 0.0
        for rows in batches(batch, seed, epoch):
            loss += step(net, images[rows], labels[rows], lr) / TRAIN_ROWS
            stop.check(saved=epoch - 1)
        _, scores = forward(net, images[TRAIN_ROWS:])
        accuracy = float((scores.argmax(axis=1) == labels[TRAIN_ROWS:]).mean())
        line = {"epoch": epoch, "loss": round(loss, 6), "accuracy": round(accuracy, 6)}
        metrics.append(json.dumps(line) + "\n")
        save_checkpoint(net, metrics)
        say(f"epoch {epoch:2}/{epochs}  loss {loss:.4f}  accuracy {accuracy * 100:.1f} %")
        stop.check(saved=epoch, pause=pause)
    write_whole("model.npz", npz(**{name: net[name] for name in ("w1", "b1", "w2", "b2")}))
    say(f"final accuracy {json.loads(metrics[-1])['accuracy'] * 100:.1f} %")


def main() -> int:
    try:
        train(StopRequest())
    except EndedEarly as end:
        print(end.args[1], file=sys.stderr)
        return int(end.args[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
