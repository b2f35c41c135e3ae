"""Who was superseded changes nothing on the host."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from nasexp.connections.local import connect_local
from nasexp.errors import StageError, Superseded
from nasexp.host import programs
from nasexp.host.claims import check_claim, claim, run_fenced
from nasexp.host.probe import probe
from nasexp.launchers.agent import AgentJob
from nasexp.values import Workdir


@pytest.fixture
def connection():
    connection = connect_local("local")
    yield connection
    connection.close()


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "runs" / "id")


def test_a_claim_is_the_same_when_it_is_asked_again(connection, folder):
    first = claim(connection, folder, 1, "aa")

    assert claim(connection, folder, 1, "aa") == first
    check_claim(connection, first)
    assert probe(connection, folder).owner == (1, "aa")


def test_of_two_with_one_epoch_the_first_has_it(connection, folder):
    claim(connection, folder, 1, "aa")

    with pytest.raises(Superseded, match="another driver has taken this run over"):
        claim(connection, folder, 1, "bb")


def test_a_claim_that_was_cut_off_is_finished_by_who_comes_next(connection, folder, tmp_path):
    (tmp_path / "runs/id/owner/1").mkdir(parents=True)

    check_claim(connection, claim(connection, folder, 1, "bb"))


def test_many_at_once_make_one_owner(folder):
    def try_to(nonce):
        connection = connect_local("local")
        try:
            claim(connection, folder, 7, nonce)
        except Superseded:
            return 0
        finally:
            connection.close()
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(try_to, [f"n{number}" for number in range(24)])) == 1


def test_who_was_superseded_changes_nothing(connection, folder, tmp_path):
    old = claim(connection, folder, 9, "aa")
    new = claim(connection, folder, 10, "bb")
    run = tmp_path / "runs/id"
    (run / "segments/1").mkdir(parents=True)
    (run / "segments/1/start").write_text("1 1 1 1 b\n")
    changes = [
        lambda: programs.cancel(connection, folder, old),
        lambda: programs.set_deadline(connection, folder, 500, old),
        lambda: programs.put_file(connection, f"{folder}/spec", b"x", old),
        lambda: programs.put_secrets(connection, folder, {"A": "b"}, old),
        lambda: programs.launch(connection, "/nowhere/agent", folder, old),
        lambda: programs.adopt(connection, "/nowhere/agent", folder, old),
        lambda: AgentJob(connection, Workdir(folder), "agent", old).stop(),
        lambda: claim(connection, folder, 9, "aa"),
        lambda: run_fenced(connection, old, 'rm -rf "$1"', folder),
    ]
    before = sorted(run.rglob("*"))
    for change in changes:
        with pytest.raises(Superseded):
            change()

    assert sorted(run.rglob("*")) == before
    programs.set_deadline(connection, folder, 500, new)
    programs.cancel(connection, folder, new)
    assert (run / "deadline").read_text() == "500\n"
    assert (run / "cancel").exists()


def test_without_a_claim_nothing_is_checked(connection, folder, tmp_path):
    claim(connection, folder, 1, "aa")
    programs.put_file(connection, f"{folder}/spec", b"x")

    assert (tmp_path / "runs/id/spec").read_bytes() == b"x"


def test_a_host_that_cannot_write_the_claim_is_no_successor(connection, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(StageError, match="cannot claim the run on host 'local'") as caught:
        claim(connection, str(tmp_path / "file"), 1, "aa")
    assert not isinstance(caught.value, Superseded)


@pytest.mark.parametrize(("epoch", "nonce"), [(0, "aa"), (1, ""), (1, "../x"), (1, "a b")])
def test_words_that_are_no_claim_are_refused(connection, folder, epoch, nonce):
    with pytest.raises(ValueError):
        claim(connection, folder, epoch, nonce)


@pytest.mark.parametrize("secrets", [{"a-b": "x"}, {"A": "x\0y"}, {"1": "x"}])
def test_a_secret_that_no_variable_can_hold_is_refused(connection, folder, secrets):
    with pytest.raises(StageError, match="cannot be a variable"):
        programs.put_secrets(connection, folder, secrets)
