from __future__ import annotations

import pytest

from nasexp.config.layers import Overrides, read_layers
from nasexp.config.schema import Schema
from nasexp.config.settings import ConfigSection, resolve
from nasexp.config.showing import HIDDEN, config_yaml, is_secret, shown_values
from nasexp.config.units import Duration, Rate
from nasexp.config.workspace import Workspace
from nasexp.config.yamlfile import read_text
from nasexp.errors import ConfigError, UsageError


class Backup(Schema, frozen=True):
    every: Duration = Duration.parse("30m")


SECTIONS = [ConfigSection("backup", Backup), ConfigSection("environment.venv", str)]


@pytest.fixture
def settings_of(tmp_path):
    def resolved(workspace="", project="run: ./run.sh", overrides=Overrides()):
        folder = tmp_path / "projects" / "p"
        folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / "nasexp.yaml").write_text(workspace)
        (folder / "project.yaml").write_text(project)
        found = Workspace(tmp_path)
        return resolve(read_layers(found, found.project("p"), overrides), SECTIONS)

    return resolved


def origin(settings, path):
    return str(settings.tree.child(path).origin)


def test_defaults_are_the_weakest_layer(settings_of):
    settings = settings_of()

    assert settings.core.output == "output"
    assert settings.section("backup", Backup).every == Duration(1800)
    assert origin(settings, "backup.every") == "default"


def test_each_layer_is_stronger_than_the_one_before(settings_of, monkeypatch):
    workspace = "timeout: 1h\nhosts: {gpu: {timeout: 2h}}\nhost: gpu\n"
    project = "run: x\nprofiles: {quick: {timeout: 4h}}\n"

    assert settings_of("timeout: 1h").core.timeout == Duration(3600)
    assert settings_of(workspace).core.timeout == Duration(7200)
    assert settings_of(workspace, project + "timeout: 3h").core.timeout == Duration(10800)
    quick = Overrides(profile="quick")
    assert settings_of(workspace, project + "timeout: 3h", quick).core.timeout == Duration(14400)
    monkeypatch.setenv("NASEXP__TIMEOUT", "5h")
    assert settings_of(workspace, project, quick).core.timeout == Duration(18000)
    strongest = Overrides("quick", (("timeout", "6h", "--timeout"),))
    assert settings_of(workspace, project, strongest).core.timeout == Duration(21600)


def test_every_value_remembers_where_it_was_set(settings_of, monkeypatch):
    monkeypatch.setenv("NASEXP__BACKUP__EVERY", "10m")
    settings = settings_of(
        "client: ACME\nrate: 45 EUR/h\n", "run: x\nparams:\n  lr: 0.1\n",
        Overrides(assignments=("params.epochs=3",)),
    )  # fmt: skip

    assert origin(settings, "client") == "nasexp.yaml:1"
    assert origin(settings, "params.lr") == "projects/p/project.yaml:3"
    assert origin(settings, "backup.every") == "$NASEXP__BACKUP__EVERY"
    assert origin(settings, "params.epochs") == "--set params.epochs"
    assert settings.core.rate == Rate.parse("45 EUR/h")
    assert settings.core.params == {"lr": 0.1, "epochs": 3}


def test_params_keep_what_was_written(settings_of):
    settings = settings_of(project="run: x\nparams: {a: 010, b: no, c: 1e3, d: true, e: '1'}")

    assert settings.core.params == {"a": "010", "b": "no", "c": 1000.0, "d": True, "e": "1"}


def test_all_problems_of_all_files_are_told_at_once(settings_of):
    workspace = "timeout: 2 hours\nbackup: {evry: 5m}\ntiemout: 3\nhosts: {gpu: {adress: a}}\n"
    project = "run:\nparams: {lr: [1]}\ntimeout: 7200\nplugins: x\nenvironment: venv\n"

    with pytest.raises(ConfigError) as caught:
        settings_of(workspace, project)

    assert caught.value.message.split("\n") == [
        "nasexp.yaml:1:10: timeout: found '2 hours', expected a duration such as 90s, 2h30m or 1d, or never",
        "nasexp.yaml:2:10: backup.evry: unknown key; did you mean 'every'?",
        "nasexp.yaml:3:1: tiemout: unknown key; did you mean 'timeout'?",
        "nasexp.yaml:4:15: hosts.gpu.adress: unknown key; did you mean 'address'?",
        "projects/p/project.yaml:1:5: run: found nothing, expected text",
        "projects/p/project.yaml:2:14: params.lr: found a list, expected text, a number, true or false",
        "projects/p/project.yaml:3:10: timeout: found 7200, expected a duration such as 90s, 2h30m or 1d, or never (a number needs its unit)",
        "projects/p/project.yaml:4:10: plugins: found 'x', expected a list of text",
        "projects/p/project.yaml:5:14: environment: found 'venv', expected one of the keys venv",
    ]


@pytest.mark.parametrize(
    ("project", "message"),
    [
        ("run: x\ntimeout: 0s", "timeout: found no time at all"),
        ("run: x\nparams: {lr: 1, LR: 2}", "'lr' and 'LR' would share one variable"),
        ("run: x\nparams: {a-b: 1}", "params.a-b: a parameter's name has letters, digits and _"),
        (
            "run: x\nrate: 45",
            "rate: found 45, expected a price per hour such as 45 EUR/h (a number",
        ),
        ("run: x\nseed: 1.5", "seed: found 1.5, expected a whole number"),
        ("run: x\nclient: 5", "client: found 5, expected text"),
        ("run: x\nparams: 5", "params: found 5, expected names, each with text, a number, true or"),
        ("run: x\nhosts: {}", "hosts: unknown key"),
        (
            "run: x\nprofiles: {q: {tmeout: 1h}}",
            "profiles.tmeout: unknown key; did you mean 'timeout'?",
        ),
        ("run: x\nprofiles: 3", "profiles: expected `name: {settings}`"),
        ("run: x\nhost: gpu9", "there is no host 'gpu9'"),
    ],
)
def test_values_that_cannot_be_are_refused(settings_of, project, message):
    with pytest.raises(ConfigError) as caught:
        settings_of(project=project)

    assert message in caught.value.message


def test_a_variable_that_names_no_setting_is_refused(settings_of, monkeypatch):
    monkeypatch.setenv("NASEXP__TIMEOT", "1h")

    with pytest.raises(
        ConfigError, match=r"\$NASEXP__TIMEOT: timeot: unknown key; did you mean 'timeout'"
    ):
        settings_of()


def test_an_unknown_profile_names_the_nearest(settings_of):
    with pytest.raises(UsageError, match="no profile 'quik'; did you mean 'quick'"):
        settings_of(project="run: x\nprofiles: {quick: {timeout: 1h}}", overrides=Overrides("quik"))


def test_an_assignment_without_a_value_is_refused(settings_of):
    with pytest.raises(UsageError, match="expected KEY=VALUE"):
        settings_of(overrides=Overrides(assignments=("timeout",)))


def test_the_projects_environment_replaces_the_workspaces(tmp_path):
    sections = [*SECTIONS, ConfigSection("environment.conda", str)]
    (tmp_path / "projects/p").mkdir(parents=True)
    (tmp_path / "nasexp.yaml").write_text("environment: {conda: base}")
    (tmp_path / "projects/p/project.yaml").write_text("run: x\nenvironment: {venv: r.txt}")
    workspace = Workspace(tmp_path)

    settings = resolve(read_layers(workspace, workspace.project("p"), Overrides()), sections)

    assert settings.get("environment") == {"venv": "r.txt"}


def test_two_owners_of_one_section_are_refused(tmp_path):
    (tmp_path / "nasexp.yaml").write_text("")
    layers = read_layers(Workspace(tmp_path), None, Overrides())

    with pytest.raises(ConfigError, match="two plugins own the configuration section 'backup'"):
        resolve(layers, [SECTIONS[0], SECTIONS[0]])


def test_the_saved_configuration_reads_back_with_its_origins(settings_of):
    settings = settings_of("timeout: 1h", "run: 'echo {lr}'\nparams: {lr: 1e-3, name: 'no'}")
    text = config_yaml(settings)

    plain = read_text(text, "config.yaml").plain()
    assert plain["params"] == {"lr": 0.001, "name": "no"}
    assert 'timeout: "1h"  # nasexp.yaml:1' in text


@pytest.mark.parametrize(
    ("key", "secret"),
    [("params.hf_token", True), ("smtp.password", True), ("api_key", True), ("aws_access_key", True),
     ("params.token_dim", False), ("params.key", False), ("tokenizer", False), ("secrets", True)],
)  # fmt: skip
def test_names_tell_what_is_a_secret(key, secret):
    assert is_secret(key) is secret


def test_secrets_are_hidden_wherever_settings_are_shown(settings_of):
    settings = settings_of(project="run: x\nparams: {hf_token: canary-123}")

    assert ("params.hf_token", HIDDEN, "projects/p/project.yaml:2") in shown_values(settings)
    assert "canary" not in config_yaml(settings)


@pytest.mark.parametrize(
    ("workspace", "project"),
    [
        ("", "run: x\nparams: {hf_token: [canary]}\nseed: canary-free"),
        ("hosts: {gpu: {password: canary}}", "run: x"),
        ("hosts: {gpu: {password: {env: 4711}}}", "run: x"),
        ("hosts: {gpu: {passphrase: 4711}}", "run: x"),
        ("", "run: x\nsecret: canary"),
    ],
)
def test_messages_do_not_show_what_a_secret_is(settings_of, workspace, project):
    with pytest.raises(ConfigError) as caught:
        settings_of(workspace, project)

    assert "4711" not in str(caught.value)
    assert "canary" not in str(caught.value).replace("canary-free", "")


def test_a_message_about_a_secret_tells_what_is_expected(settings_of):
    with pytest.raises(ConfigError) as caught:
        settings_of("hosts: {gpu: {password: canary}}")

    assert caught.value.message == (
        "nasexp.yaml:1:25: hosts.gpu.password: found something that is not shown, "
        "expected keys and values"
    )
