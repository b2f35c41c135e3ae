"""The whole path on this machine: what a run leaves, and what happens when a stage fails."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from datetime import UTC, datetime

import pytest

from nasexp.runs.record import read_record

SCRIPT = """\
#!/bin/sh
echo "lr is $NASEXP_PARAM_LR in $NASEXP_RUN"
mkdir -p output/sub
echo weights >output/sub/model.bin
cat params.json >output/params.json
"""


def stages(workspace, project="p", number=0):
    events = workspace.events(project, number)
    return [event.facts["stage"] for event in events if event.name == "stage.finished"]


def test_a_run_leaves_a_folder_that_holds_all_that_went_in_and_came_out(workspace):
    workspace.add_project("p", "./run.sh", "params: {lr: 0.5}\nclient: ACME\n", {"run.sh": SCRIPT})
    before = datetime.now(UTC)

    workspace.nasexp("run", "--project", "p").assert_code(0, "p/run_0: ok")

    paths = workspace.run_paths("p")
    names = {path.name for path in paths.folder.iterdir()}
    assert names == {
        "bin.tar.gz", "config.yaml", "events.jsonl", "log.log", "manifest.sha256", "output", "run.info",
    }  # fmt: skip
    assert paths.log.read_bytes() == b"lr is 0.5 in p/run_0\n"
    assert (paths.output / "sub" / "model.bin").read_text() == "weights\n"
    assert json.loads((paths.output / "params.json").read_text()) == {"lr": 0.5}
    with tarfile.open(paths.archive) as archive:
        assert archive.extractfile("bin/run.sh").read().decode() == SCRIPT
    record = workspace.record("p")
    assert (record.status, record.client, record.exit_code) == ("ok", "ACME", 0)
    assert before.timestamp() - 1 <= record.started.timestamp() <= datetime.now(UTC).timestamp()
    assert stages(workspace) == [
        "connect",
        "archive",
        "transfer",
        "train",
        "backup",
        "collect",
        "shutdown",
    ]


def test_sha256sum_checks_the_folder_without_nasexp(workspace):
    odd = "#!/bin/sh\nmkdir output\necho x >'output/a b'\nprintf y >'output/new\nline'\n: >output/-n\nprintf z >'output/back\\slash'\n"
    workspace.add_project("p", "./run.sh", files={"run.sh": odd})
    workspace.nasexp("run", "--project", "p").assert_ok()
    folder = workspace.run_paths("p").folder

    done = subprocess.run(["sha256sum", "-c", "manifest.sha256"], cwd=folder, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 7
    (folder / "output" / "a b").write_text("flipped")
    done = subprocess.run(["sha256sum", "-c", "manifest.sha256"], cwd=folder, capture_output=True)
    assert done.returncode == 1


def test_nothing_of_a_finished_run_stays_on_the_host(workspace):
    workspace.add_project("p", "mkdir output")
    workspace.nasexp("run", "--project", "p").assert_ok()

    assert workspace.host_runs() == []
    assert list((workspace.home / ".nasexp" / "by-name").iterdir()) == []


def test_the_job_does_not_run_in_the_projects_folder(workspace):
    workspace.add_project("p", "mkdir output; pwd; ls -a")
    workspace.nasexp("run", "--project", "p").assert_ok()

    log = workspace.run_paths("p").log.read_text()
    assert log.startswith(str(workspace.home / ".nasexp" / "runs"))
    assert not (workspace.root / "projects/p/bin/output").exists()


def test_parameters_reach_the_command_quoted(workspace):
    workspace.add_project(
        "p", "printf '%s|' {name} {lr} {flag} ${HOME} {other}; echo $NASEXP_PARAM_NAME; mkdir output",
        "params: {name: \"a 'b' $(id)\", lr: 1e-3, flag: true}\nseed: 7\n",
    )  # fmt: skip
    workspace.nasexp("run", "--project", "p").assert_ok()

    log = workspace.run_paths("p").log.read_text()
    assert log == f"a 'b' $(id)|0.001|true|{workspace.home}|{{other}}|a 'b' $(id)\n"


def test_the_seed_is_given(workspace):
    workspace.add_project("p", "echo $NASEXP_SEED $PYTHONHASHSEED; mkdir output", "seed: 7")
    workspace.nasexp("run", "--project", "p").assert_ok()

    assert workspace.run_paths("p").log.read_text() == "7 7\n"


def test_nasexps_own_environment_does_not_reach_the_job(workspace, monkeypatch):
    monkeypatch.setenv("VIRTUAL_ENV", "/opt/venv")
    monkeypatch.setenv("PATH", "/opt/venv/bin:" + os.environ["PATH"])
    monkeypatch.setenv("PYTHONPATH", "/x")
    monkeypatch.setenv("NASEXP__CLIENT", "canary")
    workspace.add_project("p", "env; mkdir output")
    workspace.nasexp("run", "--project", "p").assert_ok()

    log = workspace.run_paths("p").log.read_text()
    assert not re.search(r"VIRTUAL_ENV|/opt/venv|^PYTHONPATH|canary", log, re.MULTILINE)


def test_the_same_code_gives_the_same_archive(workspace):
    workspace.add_project("p", "mkdir output", files={"a": "1", "sub/b": "2", ".hidden": "3"})
    for _ in range(2):
        workspace.nasexp("run", "--project", "p").assert_ok()

    first, second = (workspace.run_paths("p", n).archive.read_bytes() for n in (0, 1))
    assert first == second
    assert b"bin/.hidden" in gzip.decompress(first)


def test_secrets_stay_at_home_and_are_named(workspace):
    workspace.add_project("p", "ls -a; mkdir output", files={".env": "TOKEN=canary", "ok": ""})
    called = workspace.nasexp("run", "--project", "p").assert_code(0, "left out .env")

    assert b"canary" not in gzip.decompress(workspace.run_paths("p").archive.read_bytes())
    assert "\n.env" not in workspace.run_paths("p").log.read_text()
    assert workspace.nasexp("show", "p/run_0", "--json").json()["archive"]["left_out"]
    assert called.errors == ""


def test_a_script_needs_no_execute_bit_and_no_shebang(workspace):
    folder = workspace.add_project("p", "./go", files={"go": "echo went; mkdir output\n"})
    (folder / "bin" / "go").chmod(0o644)

    workspace.nasexp("run", "--project", "p").assert_code(0, "has no #! line: it is run by sh")

    assert workspace.run_paths("p").log.read_text() == "went\n"


def test_the_console_is_kept_to_the_byte(workspace):
    script = "import os, sys\nos.mkdir('output')\nsys.stdout.buffer.write(bytes(range(256)) * 20000 + b'\\r50%\\r100%')\n"
    workspace.add_project("p", f"{sys.executable} noise.py", files={"noise.py": script})
    workspace.nasexp("run", "--project", "p").assert_ok()

    assert workspace.run_paths("p").log.read_bytes() == bytes(range(256)) * 20000 + b"\r50%\r100%"


def test_a_failing_training_still_comes_home(workspace):
    workspace.add_project("p", "mkdir output; echo half >output/half; echo bad; exit 7")

    called = workspace.nasexp("run", "--project", "p").assert_code(6, "exit code 7")

    record = workspace.record("p")
    assert (record.status, record.exit_code, record.ending) == ("failed", 7, "exit code 7")
    assert record.error == "the training ended with exit code 7"
    assert (workspace.run_paths("p").output / "half").read_text() == "half\n"
    assert stages(workspace)[-3:] == ["backup", "collect", "shutdown"]
    assert workspace.host_runs() == []
    assert "Traceback" not in called.errors


def test_a_training_killed_by_a_signal_says_which(workspace):
    workspace.add_project("p", "mkdir output; kill -9 $$")

    workspace.nasexp("run", "--project", "p").assert_code(6)

    assert workspace.record("p").ending == "killed by signal 9"


def test_the_timeout_ends_the_whole_tree_and_what_was_written_comes_home(workspace):
    run = "mkdir output; echo x >output/x; (trap '' TERM; setsid sleep 300 & sleep 300) & echo $$ >output/pid; sleep 300"
    workspace.add_project("p", run, "timeout: 1s\ntrain: {grace: 1s}")
    began = time.monotonic()

    workspace.nasexp("run", "--project", "p").assert_code(6, "ran into its timeout")

    record = workspace.record("p")
    assert record.ending == "ran into its timeout"
    assert 0.9 <= record.elapsed_seconds() < 3
    assert time.monotonic() - began < 15
    assert (workspace.run_paths("p").output / "x").exists()
    assert alive_with(next(iter(workspace.events("p"))).facts["id"]) == []


def alive_with(run_id):
    """Return the processes that carry a run's cookie."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if run_id.encode() in file.read():
                    found.append(name)
        except OSError:
            continue
    return found


def test_a_process_that_outlives_its_script_is_ended(workspace):
    workspace.add_project("p", "mkdir output; (setsid sleep 300 >/dev/null 2>&1 &); echo done")

    workspace.nasexp("run", "--project", "p").assert_ok()

    assert alive_with(workspace.events("p")[0].facts["id"]) == []


def test_backups_come_home_while_it_trains(workspace):
    run = "mkdir output; echo 1 >output/ckpt; until [ -e ../seen ]; do sleep 0.02; done; echo 2 >output/ckpt"
    folder = workspace.add_project("p", run, "backup: {every: 0.1s}")
    workspace.write({"projects/p/plugin.py": """
        from pathlib import Path
        from nasexp import hookimpl

        @hookimpl(wrapper=True)
        def nasexp_backup(run, job):
            snapshot = yield
            copy = run.paths.output / "ckpt"
            if copy.exists() and copy.read_text() == "1\\n":
                Path(job.workdir.path, "seen").touch()
            return snapshot
        """})  # fmt: skip

    workspace.nasexp("run", "--project", "p").assert_ok()

    made = [event.facts for event in workspace.events("p") if event.name == "backup.made"]
    assert len(made) >= 2
    assert (folder / "results/run_0/output/ckpt").read_text() == "2\n"


def test_what_the_training_rotates_away_stays_at_home(workspace):
    run = "mkdir output; echo 1 >output/old; until [ -e ../seen ]; do sleep 0.02; done; rm output/old; echo 2 >output/new"
    workspace.add_project("p", run, "backup: {every: 0.1s}")
    workspace.write({"projects/p/plugin.py": """
        from pathlib import Path
        from nasexp import hookimpl

        @hookimpl(wrapper=True)
        def nasexp_backup(run, job):
            snapshot = yield
            if (run.paths.output / "old").exists():
                Path(job.workdir.path, "seen").touch()
            return snapshot
        """})  # fmt: skip

    workspace.nasexp("run", "--project", "p").assert_ok()

    assert {path.name for path in workspace.run_paths("p").output.iterdir()} == {"old", "new"}


def test_links_and_odd_names_come_home_as_they_are(workspace):
    run = "mkdir -p output/d; echo x >output/d/f; ln -s d/f output/latest; mkfifo output/pipe; printf y >\"output/$(printf 'a\\nb \\377')\""
    workspace.add_project("p", run)

    workspace.nasexp("run", "--project", "p").assert_ok()

    output = workspace.run_paths("p").output
    assert os.readlink(output / "latest") == "d/f"
    assert sorted(os.listdir(os.fsencode(output))) == [b"a\nb \xff", b"d", b"latest"]


@pytest.mark.parametrize("settings", ["", "output: output\n"])
def test_results_outside_the_output_folder_are_never_thrown_away(workspace, settings):
    workspace.add_project("p", "mkdir results; echo weights >results/model", settings)

    called = workspace.nasexp("run", "--project", "p").assert_code(
        6, "left no folder 'output'; it wrote results/model", "set `output:`"
    )

    [folder] = workspace.host_runs()
    assert (folder / "work/results/model").read_text() == "weights\n"
    assert str(folder) in called.errors
    assert workspace.record("p").status == "failed"


def test_a_training_that_fails_before_it_writes_has_one_reason(workspace):
    workspace.add_project("p", "echo no GPU; exit 3", "output: results")

    called = workspace.nasexp("run", "--project", "p").assert_code(
        6, "error: the training ended with exit code 3", "the training wrote no files"
    )

    assert "warning" not in called.output
    assert "collect   ok" in called.output
    record = workspace.record("p")
    assert (record.error, record.warnings) == ("the training ended with exit code 3", 0)
    assert workspace.host_runs() == []


def test_what_a_failing_training_wrote_elsewhere_is_kept_and_told(workspace):
    workspace.add_project("p", "mkdir models; echo x >models/last; exit 3", "output: results")

    called = workspace.nasexp("run", "--project", "p").assert_code(
        6, "error: the training ended with exit code 3", "it wrote models/last"
    )

    [folder] = workspace.host_runs()
    assert (folder / "work/models/last").read_text() == "x\n"
    assert str(folder) in called.output


def test_a_named_output_folder_that_is_missing_is_an_error(workspace):
    workspace.add_project("p", "true", "output: results")

    workspace.nasexp("run", "--project", "p").assert_code(6, "left no folder 'results'")


def test_a_training_that_writes_nothing_is_a_run_too(workspace):
    workspace.add_project("p", "true")

    workspace.nasexp("run", "--project", "p").assert_code(0, "the training wrote no files")


def test_ctrl_c_stops_the_training_and_brings_it_home(workspace):
    workspace.add_project("p", "mkdir output; echo x >output/x; echo re''ady; sleep 300")
    command = [
        sys.executable,
        "-m",
        "nasexp",
        "--workspace",
        str(workspace.root),
        "run",
        "--foreground",
    ]
    driver = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    lines = []
    for line in driver.stdout:
        lines.append(line)
        if "ready" in line:
            break
    os.killpg(driver.pid, signal.SIGINT)
    rest, _ = driver.communicate(timeout=60)

    assert driver.returncode == 130, "".join(lines) + rest
    assert "stopping the training" in rest
    assert workspace.record("p").status == "stopped"
    assert (workspace.run_paths("p").output / "x").exists()
    assert workspace.host_runs() == []


def test_ctrl_c_before_the_training_leaves_nothing_running(workspace):
    workspace.add_project("p", "echo never")
    workspace.write({"projects/p/plugin.py": """
        from nasexp import hookimpl

        @hookimpl
        def nasexp_environment(run):
            raise KeyboardInterrupt
        """})  # fmt: skip

    workspace.nasexp("run", "--project", "p").assert_code(130)

    assert workspace.record("p").status == "stopped"
    assert workspace.host_runs() == []
    assert not workspace.run_paths("p").log.exists()


def test_a_driver_that_was_killed_leaves_an_interrupted_run(workspace):
    workspace.add_project("p", "echo $$; sleep 300")
    command = [
        sys.executable,
        "-m",
        "nasexp",
        "--workspace",
        str(workspace.root),
        "run",
        "--foreground",
    ]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while "|" not in driver.stdout.readline():
        pass
    live = workspace.nasexp("status").assert_code(0, "p/run_0: running, stage train")
    driver.kill()
    driver.communicate()

    assert live.output.count("\n") == 1
    workspace.nasexp("status").assert_code(0, "p/run_0: interrupted", "its driver is gone")
    (workspace.host_runs()[0] / "cancel").touch()
    deadline = time.monotonic() + 30
    while not (workspace.host_runs()[0] / "segments/1/exit").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_dry_run_tells_all_and_changes_nothing(workspace):
    workspace.add_project(
        "p",
        "./run.sh",
        "params: {lr: 0.5}\nrate: 10 EUR/h\ntimeout: 90m",
        {"run.sh": SCRIPT, ".env": "x"},
    )
    before = sorted(workspace.root.rglob("*"))

    workspace.nasexp("run", "--project", "p", "--dry-run").assert_code(
        0, "p/run_0 would", "leaving out .env", "parameter lr = 0.5",
        "about 15.00 EUR if it runs to its timeout", "nothing was changed",
    )  # fmt: skip

    assert sorted(workspace.root.rglob("*")) == before
    assert not (workspace.home / ".nasexp").exists()


def test_dry_run_hides_secrets_and_says_what_no_rate_means(workspace):
    workspace.add_project("p", "echo {api_key}", "params: {api_key: canary}")

    called = workspace.nasexp("run", "--dry-run").assert_code(
        0,
        "parameter api_key = ***",
        "no rate is set: `report` would count its hours, but no amount",
    )

    assert "canary" not in called.output


def test_flags_are_the_strongest_layer(workspace):
    workspace.add_project("p", "mkdir output; echo {lr}", "params: {lr: 1}\ntimeout: 1h")
    words = [
        "--timeout",
        "5m",
        "--set",
        "params.lr=2",
        "--backup-every",
        "never",
        "--host",
        "local",
    ]
    workspace.nasexp("run", "--project", "p", *words).assert_ok()

    assert workspace.run_paths("p").log.read_text() == "2\n"
    saved = workspace.run_paths("p").config.read_text()
    assert 'timeout: "5m"  # --timeout' in saved
    assert 'every: "never"  # --backup-every' in saved


@pytest.mark.parametrize("stage", ["archive", "transfer", "environment", "train"])
def test_a_stage_that_fails_early_leads_to_shutdown_and_nothing_was_started(workspace, stage):
    workspace.add_project("p", "echo never")
    workspace.write({"projects/p/plugin.py": f"""
        from nasexp import hookimpl
        from nasexp.errors import StageError

        @hookimpl
        def nasexp_{stage}(run):
            raise StageError("it broke")
        """})  # fmt: skip

    workspace.nasexp("run", "--project", "p").assert_code(1, "it broke")

    assert stages(workspace)[-1] == "shutdown"
    assert "collect" not in stages(workspace)
    record = workspace.record("p")
    assert (record.status, record.error, record.started) == ("failed", "it broke", None)
    assert workspace.host_runs() == []


def test_shutdown_is_called_when_connect_fails(workspace):
    workspace.add_project("p", "echo never")
    workspace.write({"projects/p/plugin.py": """
        from nasexp import hookimpl
        from nasexp.errors import ConnectionLost

        @hookimpl
        def nasexp_connect(run):
            raise ConnectionLost("no route")
        """})  # fmt: skip

    workspace.nasexp("run", "--project", "p").assert_code(1, "no route")

    assert stages(workspace) == ["connect", "shutdown"]


def test_a_shutdown_that_fails_is_told_by_its_own_exit_code(workspace):
    workspace.add_project("p", "exit 3")
    workspace.write({"projects/p/plugin.py": """
        from nasexp import hookimpl
        from nasexp.errors import StageError

        @hookimpl
        def nasexp_shutdown(run):
            raise StageError("cannot tell whether it is off")
        """})  # fmt: skip

    workspace.nasexp("run", "--project", "p").assert_code(5)

    assert workspace.record("p").error == "the training ended with exit code 3"


def test_a_failing_backup_is_a_warning_and_collect_makes_it_good(workspace):
    workspace.add_project("p", "mkdir output; echo x >output/x")
    workspace.write({"projects/p/plugin.py": """
        from nasexp import hookimpl
        from nasexp.errors import StageError

        @hookimpl
        def nasexp_backup(run):
            raise StageError("the disk was away")
        """})  # fmt: skip

    workspace.nasexp("run", "--project", "p").assert_code(4, "the disk was away")

    assert workspace.record("p").status == "ok"
    assert (workspace.run_paths("p").output / "x").exists()


def test_each_provider_called_again_adopts_what_it_finds(workspace):
    """Every stage a second time: the same values, one training."""
    workspace.add_project("p", "mkdir output; echo ran >>output/ran")
    workspace.write({"projects/p/plugin.py": """
        from nasexp import hookimpl

        def twice(name):
            @hookimpl(wrapper=True, specname=name)
            def again(run):
                value = yield
                import nasexp.stages as stages
                from importlib import import_module
                stage = import_module("nasexp.stages." + name.removeprefix("nasexp_"))
                given = {"run": run, **seen}
                function = getattr(stage, name)
                names = function.__code__.co_varnames[: function.__code__.co_argcount]
                second = function(**{key: given[key] for key in names})
                assert second == value, (second, value)
                seen[name.removeprefix("nasexp_")] = value
                return value
            return again

        seen = {}

        @hookimpl(wrapper=True)
        def nasexp_connect(run):
            seen["connection"] = yield
            return seen["connection"]

        @hookimpl(wrapper=True)
        def nasexp_environment(run):
            seen["environment"] = yield
            return seen["environment"]

        nasexp_archive = twice("nasexp_archive")

        @hookimpl(wrapper=True)
        def nasexp_transfer(run, connection, archive):
            from nasexp.stages.transfer import nasexp_transfer
            value = yield
            assert nasexp_transfer(run, connection, archive) == value
            seen["workdir"] = value
            return value

        nasexp_train = twice("nasexp_train")
        """})  # fmt: skip

    workspace.nasexp("run", "--project", "p").assert_ok()

    assert (workspace.run_paths("p").output / "ran").read_text() == "ran\n"
    events = [event.name for event in workspace.events("p")]
    assert events.count("archive.packed") == 1


def test_an_unexpected_fault_of_ours_shows_its_traceback_but_shuts_down_first(
    workspace, monkeypatch
):
    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("nasexp.stages.archive.pack", broken)
    workspace.add_project("p", "echo never")

    with pytest.raises(RuntimeError, match="a bug"):
        workspace.nasexp("run", "--project", "p")

    assert stages(workspace)[-1] == "shutdown"
    assert workspace.record("p").status == "failed"


def test_two_runs_at_once_do_not_mix(workspace):
    workspace.add_project("p", "mkdir output; echo $NASEXP_RUN >output/who")
    command = [sys.executable, "-m", "nasexp", "--workspace", str(workspace.root), "run"]
    drivers = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [driver.wait(60) for driver in drivers] == [0, 0, 0, 0]

    for number in range(4):
        assert (workspace.run_paths("p", number).output / "who").read_text() == f"p/run_{number}\n"
    ids = {read_record(workspace.run_paths("p", number).folder).id for number in range(4)}
    assert len(ids) == 4
