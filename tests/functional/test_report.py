"""`report` over real folders; expected output stands here as it is printed."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from textwrap import dedent

import pytest

from nasexp.runs.locking import lock_driver
from nasexp.runs.paths import RunPaths
from nasexp.runs.record import Record, write_record


@pytest.fixture
def books(workspace, monkeypatch):
    """A workspace with the runs of two clients, in Berlin."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    workspace.write({"nasexp.yaml": "timezone: Europe/Berlin\n"})
    add_run(workspace, "vision", 0, "2026-10-01 08:00", 3600, "ACME", "45 EUR/h")
    add_run(workspace, "vision", 1, "2026-10-02 08:00", 5400.5, "ACME", "45 EUR/h")
    add_run(workspace, "vision", 2, "2026-10-31 23:30", 1800, "ACME", "50 EUR/h")  # November there
    add_run(workspace, "speech", 0, "2026-10-05 08:00", 7200, "Bolt", "60 USD/h")
    add_run(workspace, "speech", 1, "2026-10-06 08:00", 900, "Bolt", "")
    add_run(workspace, "speech", 2, status="failed")  # never came to its training
    yield workspace
    monkeypatch.undo()
    time.tzset()


def add_run(workspace, project, number, start="", seconds=None, client="", rate="", status="ok"):
    folder = workspace.root / "projects" / project / "results" / f"run_{number}"
    folder.mkdir(parents=True)
    started = datetime.fromisoformat(start).replace(tzinfo=UTC) if start else None
    ended = None if seconds is None else datetime.fromtimestamp(started.timestamp() + seconds, UTC)
    record = Record(
        address=f"{project}/run_{number}", id=f"{project}{number}", client=client, host="local",
        status=status, started=started, ended=ended, seconds=seconds, rate=rate,
    )  # fmt: skip
    write_record(RunPaths(folder), record)


def add_old_run(workspace, project, number, start_epoch, end_epoch):
    text = f"""\
        start_time|Tue Nov 24 04:44:51 UTC 2026
        start_epoch|{start_epoch}
        end_time|Tue Nov 24 05:44:51 UTC 2026
        end_epoch|{end_epoch}
    """
    workspace.write({f"projects/{project}/results/run_{number}/run.info": text})


def table(text):
    """Return the lines of a table as tabulate prints them, spaces at the right and all."""
    return [line.rstrip() for line in dedent(text).strip().splitlines()]


def printed(called):
    return [line.rstrip() for line in called.assert_ok().output.splitlines()]


def test_the_table(books):
    assert printed(books.nasexp("report")) == table("""
        client    project    month      runs    hours      rate      amount
        --------  ---------  -------  ------  -------  --------  ----------
        ACME      vision     2026-10       2     2.50  45 EUR/h  112.51 EUR
        ACME      vision     2026-11       1     0.50  50 EUR/h   25.00 EUR
        Bolt      speech     2026-10       1     2.00  60 USD/h  120.00 USD
        Bolt      speech     2026-10       1     0.25               no rate
        --------  ---------  -------  ------  -------  --------  ----------
        total                              3     3.00            137.51 EUR
        total                              1     2.00            120.00 USD
        total                              1     0.25               no rate
        note: 1 run without a rate, counted but not priced: speech/run_1
    """)


def test_the_document(books):
    document = books.nasexp("report", "--month", "2026-10", "--json").assert_ok().json()

    assert document == {
        "rows": [
            {
                "client": "ACME", "project": "vision", "month": "2026-10", "runs": 2,
                "seconds": 9000.5, "hours": 2.5, "amount": "112.51", "currency": "EUR",
                "unpriced_runs": 0,
            },
            {
                "client": "Bolt", "project": "speech", "month": "2026-10", "runs": 1,
                "seconds": 7200.0, "hours": 2.0, "amount": "120.00", "currency": "USD",
                "unpriced_runs": 0,
            },
            {
                "client": "Bolt", "project": "speech", "month": "2026-10", "runs": 1,
                "seconds": 900.0, "hours": 0.25, "amount": None, "currency": None,
                "unpriced_runs": 1,
            },
        ],
        "totals": [
            {"currency": "EUR", "amount": "112.51", "hours": 2.5, "runs": 2},
            {"currency": "USD", "amount": "120.00", "hours": 2.0, "runs": 1},
            {"currency": None, "amount": None, "hours": 0.25, "runs": 1},
        ],
        "open_runs": [],
        "notes": ["1 run without a rate, counted but not priced: speech/run_1"],
    }  # fmt: skip


def test_the_csv(books):
    called = books.nasexp("report", "--csv").assert_ok()

    assert called.output == dedent("""\
        client,project,month,runs,seconds,hours,amount,currency,unpriced_runs
        ACME,vision,2026-10,2,9000.500,2.50,112.51,EUR,0
        ACME,vision,2026-11,1,1800.000,0.50,25.00,EUR,0
        Bolt,speech,2026-10,1,7200.000,2.00,120.00,USD,0
        Bolt,speech,2026-10,1,900.000,0.25,,,1
    """)
    assert called.errors == "note: 1 run without a rate, counted but not priced: speech/run_1\n"


def test_a_project_and_a_client(books):
    own = books.nasexp("report", "--project", "vision", "--json").json()
    same = books.nasexp("report", "--client", "ACME", "--json").json()

    assert own == same
    assert {row["client"] for row in own["rows"]} == {"ACME"}
    assert own["notes"] == []


def test_the_month_of_a_run_is_counted_in_the_zone_of_the_workspace(books):
    def in_november():
        report = books.nasexp("report", "--month", "2026-11", "--json").json()
        return sum(row["runs"] for row in report["rows"])

    assert in_november() == 1
    books.write({"nasexp.yaml": "timezone: UTC\n"})
    assert in_november() == 0
    books.write({"nasexp.yaml": ""})
    assert in_november() == 0  # $TZ is UTC


def test_nothing_to_bill_is_a_sentence(books):
    for words, sentence in [
        (["--month", "2020-02"], "no finished run in 2020-02"),
        (["--client", "Acme"], "no run has the client 'Acme'; did you mean 'ACME'?"),
    ]:
        assert printed(books.nasexp("report", *words)) == [sentence]
        document = books.nasexp("report", *words, "--json").assert_ok().json()
        assert document == {"rows": [], "totals": [], "open_runs": [], "notes": [sentence]}
        called = books.nasexp("report", *words, "--csv").assert_ok()
        assert called.output.count("\n") == 1
        assert called.errors == f"note: {sentence}\n"


def test_an_empty_workspace(workspace):
    assert printed(workspace.nasexp("report")) == ["no finished run"]


def test_wrong_words(books):
    books.nasexp("report", "--month", "October").assert_code(2, "'October'", "write it as 2026-10")
    books.nasexp("report", "--project", "visoin").assert_code(2, "did you mean vision?")
    books.nasexp("report", "--json", "--csv").assert_code(2, "give one of them")
    books.write({"nasexp.yaml": "timezone: Mars/Olympus\n"})
    books.nasexp("report").assert_code(2, "nasexp.yaml:1:11: timezone: found 'Mars/Olympus'")


def test_a_run_that_goes_on_is_open_and_not_billed(books):
    add_run(books, "vision", 3, "2026-10-09 08:00", client="ACME", rate="45 EUR/h",
            status="running")  # fmt: skip
    import os

    lock = lock_driver(books.run_paths("vision", 3))
    document = books.nasexp("report", "--client", "ACME", "--month", "2026-10", "--json").json()
    os.close(lock)

    assert [row["amount"] for row in document["rows"]] == ["112.51"]
    assert document["open_runs"] == [
        {
            "run": "vision/run_3", "client": "ACME", "project": "vision", "month": "2026-10",
            "status": "running", "started": "2026-10-09T08:00:00+00:00",
        }
    ]  # fmt: skip
    assert document["notes"] == [
        "vision/run_3 still runs, its training started 2026-10-09 10:00; it is not billed yet"
    ]
    after = books.nasexp("report", "--json").json()
    assert [run["status"] for run in after["open_runs"]] == ["interrupted"]


def test_results_of_the_old_scripts(books):
    """They hold four lines; the project says today who pays."""
    books.add_project("legacy", "true", "client: ACME\nrate: 20 EUR/h\n")
    add_old_run(books, "legacy", 0, 1795495491, 1795499091)
    add_old_run(books, "legacy", 1, 1795495491, 1795495490)
    add_old_run(books, "legacy", 2, "", 1795499091)

    assert printed(books.nasexp("report", "--project", "legacy")) == table("""
        client    project    month      runs    hours      rate     amount
        --------  ---------  -------  ------  -------  --------  ---------
        ACME      legacy     2026-11       1     1.00  20 EUR/h  20.00 EUR
        --------  ---------  -------  ------  -------  --------  ---------
        total                              1     1.00            20.00 EUR
        note: legacy/run_1: it ends before it starts; it is not billed
        note: legacy/run_2: its start_epoch is no time; it is not billed
        note: legacy: its present settings give client and rate of 1 old result
    """)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "projects/legacy/project.yaml is missing"),
        ({"project.yaml": "rate: 20"}, "project.yaml:1:7: rate: found 20, expected a price"),
        ({"project.yaml": "run: x", "plugin.py": "1 / 0"}, "plugin"),
    ],
)
def test_a_broken_project_stops_nobody_s_report(books, files, problem):
    add_old_run(books, "legacy", 0, 1795495491, 1795499091)
    books.write({f"projects/legacy/{name}": text for name, text in files.items()})

    document = books.nasexp("report", "--json").assert_ok().json()

    assert (document["rows"][0]["client"], document["rows"][0]["unpriced_runs"]) == ("", 1)
    assert len(document["rows"]) == 5
    assert document["notes"][0].startswith("legacy: no client and no rate for its old results: ")
    assert problem in document["notes"][0]


def test_a_run_that_was_just_made_is_billed(workspace):
    workspace.add_project("p", "mkdir output", "client: ACME\nrate: 3600 EUR/h\n")
    workspace.nasexp("run", "--project", "p").assert_ok()

    row = workspace.nasexp("report", "--json").json()["rows"][0]

    seconds = Decimal(str(workspace.record("p").seconds))
    assert row["seconds"] == float(seconds)
    assert row["amount"] == str(seconds.quantize(Decimal("0.01"), ROUND_HALF_UP))
    assert (row["client"], row["currency"]) == ("ACME", "EUR")


def test_both_fronts_answer_alike(books):
    from nasexp.cli.definition import load_command
    from nasexp.cli.invoke_front import CommandTask

    names = {name for argument in CommandTask(load_command("report")).get_arguments()
             for name in argument.names}  # fmt: skip

    assert names == {"project", "client", "month", "json", "csv", "workspace"}


def test_it_starts_fast(books):
    """No yaml, no plugins, where every run tells its own client and rate."""
    books.write({"nasexp.yaml": ""})
    program = (
        "import sys; from nasexp.cli.argparse_front import main; code = main(sys.argv[1:]);"
        "slow = {'yaml', 'pluggy', 'msgspec', 'tabulate', 'difflib', 'zoneinfo'};"
        "sys.exit(code or str(slow & set(sys.modules)) if slow & set(sys.modules) else code)"
    )
    words = [sys.executable, "-c", program, "--workspace", str(books.root), "report", "--json"]

    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
