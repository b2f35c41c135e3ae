"""The example's training learns, repeats itself byte for byte, and survives any end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

np = pytest.importorskip("numpy", reason="the example's training needs numpy")

BIN = Path(__file__).parents[2] / "projects" / "example_proj" / "bin"
COMMAND = [sys.executable, str(BIN / "train.py")]
DEADLINE_SECONDS = 30


def environment(**params):
    inherited = {name: value for name, value in os.environ.items() if "NASEXP" not in name}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    wanted = {"pause": 0, "epochs": 3, "hidden": 32} | params
    seed = {"NASEXP_SEED": str(wanted.pop("seed", 0))}
    named = {f"NASEXP_PARAM_{name.upper()}": str(value) for name, value in wanted.items()}
    return inherited | threads | seed | named


def train(folder, **params):
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        COMMAND,
        cwd=folder,
        env=environment(**params),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


@contextmanager
def started(folder, **params):
    """Give a training that the test ends, its stdout a pipe to wait on; nothing outlives the test."""
    folder.mkdir(exist_ok=True)
    with subprocess.Popen(
        COMMAND,
        cwd=folder,
        env=environment(**params),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process, beginning):
    """Wait for the line; a training that ends without it fails the test."""
    for line in process.stdout:
        if line.startswith(beginning):
            return
    pytest.fail(f"no line begins with {beginning!r}")


def outputs(folder):
    return {path.name: path.read_bytes() for path in (folder / "output").iterdir()}


def metrics(folder):
    lines = (folder / "output" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training of four epochs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    result = train(folder, epochs=4)
    assert result.returncode == 0, result.stderr
    return outputs(folder)


def test_two_epochs_learn_to_read_most_digits(tmp_path):
    result = train(tmp_path, epochs=2, hidden=256)

    assert metrics(tmp_path)[-1]["accuracy"] > 0.94
    assert "epoch  2/2  loss 0." in result.stdout
    assert result.stdout.splitlines()[-1].startswith("final accuracy 9")
    assert result.stderr == ""


def test_header_names_parameters_and_numpy(tmp_path):
    result = train(tmp_path, epochs=1, lr=0.05, seed=7)

    header = result.stdout.splitlines()[0]
    assert header == f"lr=0.05 epochs=1 hidden=32 batch=32 pause=0.0 seed=7 numpy={np.__version__}"


def test_output_is_three_checkpoints_metrics_and_model(whole):
    checkpoints = {f"checkpoint-{epoch:04}.npz" for epoch in (2, 3, 4)}

    assert set(whole) == checkpoints | {"metrics.jsonl", "model.npz"}


def test_same_seed_gives_same_bytes(whole, tmp_path):
    train(tmp_path, epochs=4)

    assert outputs(tmp_path) == whole


def test_other_seed_gives_other_weights(whole, tmp_path):
    train(tmp_path, epochs=4, seed=1)

    assert outputs(tmp_path)["model.npz"] != whole["model.npz"]


def test_killed_training_goes_on_to_the_same_bytes(whole, tmp_path):
    with started(tmp_path, epochs=4, pause=600) as process:
        read_until(process, "epoch  1/4")
        process.kill()
    (tmp_path / "output" / "checkpoint-0002.npz.tmp").write_bytes(b"half of a")

    result = train(tmp_path, epochs=4)

    assert "going on from output/checkpoint-0001.npz" in result.stdout
    assert outputs(tmp_path) == whole


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="truncated"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: bytes(len(content)), id="zeros"),
        pytest.param(lambda content: content.replace(b"w1.npy", b"ww.npy"), id="renamed-inside"),
    ],
)
def test_damaged_newest_checkpoint_is_skipped(whole, tmp_path, damage):
    train(tmp_path, epochs=3)
    newest = tmp_path / "output" / "checkpoint-0003.npz"
    newest.write_bytes(damage(newest.read_bytes()))

    result = train(tmp_path, epochs=4)

    assert "output/checkpoint-0003.npz cannot be read whole and is skipped" in result.stdout
    assert "going on from output/checkpoint-0002.npz" in result.stdout
    assert [line["epoch"] for line in metrics(tmp_path)] == [1, 2, 3, 4]
    assert outputs(tmp_path) == whole


def test_metrics_after_the_checkpoint_are_dropped_at_once(tmp_path):
    train(tmp_path, epochs=3)
    (tmp_path / "output" / "checkpoint-0003.npz").unlink()

    train(tmp_path, epochs=2)

    assert [line["epoch"] for line in metrics(tmp_path)] == [1, 2]


def test_finished_training_is_not_repeated(whole, tmp_path):
    train(tmp_path, epochs=4)
    (tmp_path / "output" / "model.npz").unlink()

    result = train(tmp_path, epochs=4)

    assert "epoch " not in result.stdout
    assert outputs(tmp_path) == whole


def test_sigterm_ends_the_pause(tmp_path):
    with started(tmp_path, pause=600) as process:
        read_until(process, "epoch  1/3")
        began = time.monotonic()
        process.terminate()
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
        seconds = time.monotonic() - began

    assert process.returncode == 128 + signal.SIGTERM
    assert errors == "stopped by SIGTERM, whole epochs saved: 1\n"
    assert seconds < 5, "a second is promised, and a slow machine forgiven"


def test_sigterm_ends_an_epoch_between_two_steps(tmp_path):
    with started(tmp_path, hidden=4096, batch=1, epochs=9999) as process:
        read_until(process, "lr=")
        process.terminate()
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode == 128 + signal.SIGTERM
    assert errors.startswith("stopped by SIGTERM, whole epochs saved: ")


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"lr": "fast"}, "NASEXP_PARAM_LR is 'fast', but must be a number from 1e-06 to 10.0."),
        ({"lr": "nan"}, "NASEXP_PARAM_LR is 'nan', but must be a number from 1e-06 to 10.0."),
        (
            {"epochs": 2.5},
            "NASEXP_PARAM_EPOCHS is '2.5', but must be a whole number from 1 to 9999.",
        ),
    ],
)
def test_bad_parameter_is_one_sentence(tmp_path, params, sentence):
    result = train(tmp_path, **params)

    assert result.returncode == 2
    assert result.stderr == sentence + "\n"
    assert not (tmp_path / "output").exists()


def test_checkpoint_of_another_size_is_refused(tmp_path):
    train(tmp_path, epochs=1)

    result = train(tmp_path, epochs=1, hidden=64)

    assert result.returncode == 2
    advice = "set NASEXP_PARAM_HIDDEN=32 or move output/ away"
    assert result.stderr == f"output/checkpoint-0001.npz has 32 hidden units: {advice}.\n"


def test_run_script_trains_in_a_copy_of_bin(tmp_path):
    shutil.copytree(BIN, tmp_path / "work", ignore=shutil.ignore_patterns("output"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    result = subprocess.run(
        ["./run.sh"],
        cwd=tmp_path / "work",
        env=environment(epochs=1) | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert (tmp_path / "work" / "output" / "model.npz").exists()


def test_data_is_what_its_description_says():
    with np.load(BIN / "digits.npz") as data:
        images, labels = data["images"], data["labels"]

    assert (images.shape, images.dtype, images.max()) == ((1797, 64), np.uint8, 16)
    assert (labels.shape, labels.dtype, set(labels)) == ((1797,), np.uint8, set(range(10)))
