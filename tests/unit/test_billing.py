from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import floor
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasexp.billing.faults import count_starts, fault_of
from nasexp.billing.formats import as_csv, as_document, as_table
from nasexp.billing.lines import Books, Line, Note, OpenRun, Terms, read_books
from nasexp.billing.months import check_month, month_of
from nasexp.billing.summary import Selection, summarise
from nasexp.config.units import Rate
from nasexp.config.workspace import Workspace
from nasexp.config.zone import workspace_zone
from nasexp.errors import ConfigError, UsageError
from nasexp.runs.record import read_record

ALL = Selection()
quickly = settings(max_examples=50, deadline=None)
START = 1_790_000_000  # 2026-09-21 14:13:20 UTC

clients, projects = st.sampled_from(["ACME", "Bolt", ""]), st.sampled_from(["p", "q"])
months = st.sampled_from(["2026-09", "2026-10"])
seconds = st.decimals(0, 10_000_000, places=3)
rates = st.none() | st.builds(
    lambda amount, currency: Rate.parse(f"{amount} {currency}/h"),
    st.decimals(0, 10_000, places=2),
    st.sampled_from(["EUR", "USD"]),
)
lines = st.builds(
    Line, run=st.just("p/run_0"), client=clients, project=projects, month=months,
    seconds=seconds, rate=rates,
)  # fmt: skip


def line(seconds="3600", rate="45 EUR/h", client="ACME", run="p/run_0", **more):
    facts = {"project": "p", "month": "2026-10", **more}
    parsed = Rate.parse(rate) if rate else None
    return Line(run=run, client=client, seconds=Decimal(seconds), rate=parsed, **facts)


def books(*lines):
    return Books(lines=tuple(lines))


def half_up(value):
    return Decimal(floor(value * 100 + Fraction(1, 2))) / 100


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "projects" / "p" / "results" / "run_0"
    path.mkdir(parents=True)
    (tmp_path / "nasexp.yaml").touch()
    return path


def write_info(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "run.info").write_text("".join(f"{pair}\n" for pair in text.split(", ")))


def read(folder, terms=None, zone=UTC):
    projects = Workspace(folder.parents[3]).projects()
    return read_books(projects, zone, lambda _: terms or Terms())


class TestSums:
    @quickly
    @given(st.lists(lines, max_size=30))
    def test_totals_are_the_sums_of_the_rows_that_are_shown(self, lines):
        report = summarise(books(*lines), ALL)

        assert sum(total.runs for total in report.totals) == len(lines)
        for total in report.totals:
            rows = [row for row in report.rows if row.currency == total.currency]
            amounts = [row.amount for row in rows]
            assert total.runs == sum(row.runs for row in rows)
            assert total.hours == sum(row.hours for row in rows)
            assert total.amount == (sum(amounts) if total.currency else None)

    @quickly
    @given(st.lists(lines, max_size=30))
    def test_no_row_and_no_total_holds_two_currencies(self, lines):
        report = summarise(books(*lines), ALL)

        found = {line.rate.hourly.currency if line.rate else "" for line in lines}
        keys = [(row.client, row.project, row.month, row.currency) for row in report.rows]
        assert len(set(keys)) == len(keys)
        assert {row.currency for row in report.rows} == found
        assert sorted(total.currency for total in report.totals) == sorted(found)

    @quickly
    @given(st.lists(lines, min_size=1, max_size=30))
    def test_a_row_is_the_exact_sum_of_its_runs_rounded_once(self, lines):
        for row in summarise(books(*lines), ALL).rows:
            own = [
                line
                for line in lines
                if (line.client, line.project, line.month) == (row.client, row.project, row.month)
                and (line.rate.hourly.currency if line.rate else "") == row.currency
            ]
            time = sum(Fraction(line.seconds) for line in own)
            assert (row.seconds, row.hours) == (time, half_up(time / 3600))
            if row.currency:
                exact = sum(Fraction(x.rate.hourly.amount) * Fraction(x.seconds) for x in own)
                assert row.amount == half_up(exact / 3600)

    @quickly
    @given(
        st.lists(lines, max_size=10).flatmap(lambda x: st.tuples(st.just(x), st.permutations(x)))
    )
    def test_the_order_of_the_runs_changes_nothing(self, both):
        first, second = (summarise(books(*lines), ALL) for lines in both)

        assert [(row.client, row.amount) for row in first.rows] == [
            (row.client, row.amount) for row in second.rows
        ]
        assert first.totals == second.totals

    def test_thirds_of_a_cent_add_up(self):
        six = [line("0.3", "10 EUR/h")] * 6  # 1.8 s of 10 EUR/h: half a cent exactly

        assert summarise(books(*six), ALL).rows[0].amount == Decimal("0.01")

    def test_a_rate_is_shown_when_it_is_one(self):
        one = summarise(books(line(rate="45 EUR/h"), line(rate="45.00 EUR/h")), ALL)
        two = summarise(books(line(rate="45 EUR/h"), line(rate="50 EUR/h")), ALL)

        assert [row.rate for row in (*one.rows, *two.rows)] == ["45 EUR/h", "several"]
        assert two.rows[0].amount == Decimal("95.00")

    def test_a_rate_of_nothing_is_a_price(self):
        row = summarise(books(line(rate="0 EUR/h")), ALL).rows[0]

        assert (str(row.amount), row.unpriced_runs) == ("0.00", 0)

    def test_time_without_a_rate_has_no_price_and_is_named(self):
        report = summarise(books(line(), *[line(rate="", run=f"p/run_{n}") for n in range(7)]), ALL)

        assert [(row.currency, row.amount, row.runs, row.unpriced_runs) for row in report.rows] == [
            ("EUR", Decimal("45.00"), 1, 0),
            ("", None, 7, 7),
        ]
        (note,) = report.notes
        assert note == (
            "7 runs without a rate, counted but not priced: "
            "p/run_0, p/run_1, p/run_2, p/run_3, p/run_4 and 2 more"
        )


class TestSelection:
    open_runs = (OpenRun("p/run_8", "ACME", "p", "2026-10", "running", None),)
    notes = (Note("mine", "ACME", "2026-10"), Note("theirs", "Bolt"), Note("everyone's"))
    all = Books((line(), line(client="Bolt"), line(month="2026-09")), open_runs, notes)

    def test_a_client_gets_its_own_runs_and_notes(self):
        report = summarise(self.all, Selection(client="Bolt"))

        assert [row.client for row in report.rows] == ["Bolt"]
        assert (report.open_runs, report.notes) == ((), ("theirs", "everyone's"))

    def test_a_month_gets_its_own_runs_and_notes(self):
        report = summarise(self.all, Selection(client="ACME", month="2026-09"))

        assert [row.month for row in report.rows] == ["2026-09"]
        assert (report.open_runs, report.notes) == ((), ("everyone's",))

    @pytest.mark.parametrize(
        ("selection", "sentence"),
        [
            (Selection(month="2020-01"), "no finished run in 2020-01"),
            (
                Selection("p", "ACME", "2020-01"),
                "no finished run of client ACME of project p in 2020-01",
            ),
            (Selection(client="acne"), "no run has the client 'acne'; did you mean 'ACME'?"),
            (Selection(client="x"), "no run has the client 'x'; the clients are ACME, Bolt"),
        ],
    )
    def test_nothing_is_told_in_a_sentence(self, selection, sentence):
        assert summarise(self.all, selection).empty == sentence

    def test_without_any_run(self):
        assert summarise(Books(), ALL).empty == "no finished run"
        assert summarise(Books(), Selection(client="x")).empty == "no run has the client 'x'"


class TestReading:
    def test_the_run_s_own_rate_and_time_are_billed(self, folder):
        write_info(
            folder,
            f"start_epoch|{START}, end_epoch|{START + 60}, id|ab, seconds|60.250, client|ACME, "
            "rate|45 EUR/h",
        )

        found = read(folder, Terms("other", "1 USD/h"))

        assert found.lines == (line("60.250", month="2026-09"),)
        assert not found.notes

    def test_a_run_of_ours_without_a_rate_does_not_get_today_s(self, folder):
        write_info(folder, f"start_epoch|{START}, end_epoch|{START + 60}, id|ab")

        assert read(folder, Terms("other", "1 USD/h")).lines == (
            line("60.000", "", "", month="2026-09"),
        )

    def test_an_old_result_gets_the_settings_of_today(self, folder):
        write_info(folder, f"start_epoch|{START}, end_epoch|{START + 60}")

        found = read(folder, Terms("ACME", "45 EUR/h"))

        assert found.lines == (line("60.000", month="2026-09", borrowed=True),)
        (note,) = summarise(found, ALL).notes
        assert note == "p: its present settings give client and rate of 1 old result"

    def test_an_old_result_of_a_broken_project_is_counted(self, folder):
        for number in (0, 1):
            write_info(
                folder.with_name(f"run_{number}"),
                f"start_epoch|{START}, end_epoch|{START + 60}",
            )

        found = read(folder, Terms(problem="project.yaml is missing"))

        assert [(x.client, x.rate, x.seconds) for x in found.lines] == [("", None, 60)] * 2
        assert [note.text for note in found.notes] == [
            "p: no client and no rate for its old results: project.yaml is missing"
        ]

    def test_the_settings_are_not_read_for_runs_that_need_none(self, folder):
        write_info(folder, "status|failed, id|ab")
        write_info(folder.with_name("run_1"), "")
        folder.with_name("run_2").mkdir()
        write_info(
            folder.with_name("run_3"),
            f"start_epoch|{START}, end_epoch|{START}, id|cd, rate|1 EUR/h",
        )

        def never(_):
            raise AssertionError("the settings were read")

        found = read_books(Workspace(folder.parents[3]).projects(), UTC, never)

        assert ([x.run for x in found.lines], found.notes) == (["p/run_3"], ())

    def test_a_copied_folder_is_billed_once(self, folder):
        for name in ("run_0", "run_4"):
            write_info(
                folder.with_name(name),
                f"start_epoch|{START}, end_epoch|{START + 60}, id|ab, client|ACME, rate|1 EUR/h",
            )

        found = read(folder)

        assert [x.run for x in found.lines] == ["p/run_0"]
        assert found.notes == (
            Note("p/run_4: it is a copy of p/run_0; it is not billed", "ACME", "2026-09"),
        )

    def test_old_results_are_no_copies_of_each_other(self, folder):
        for name in ("run_0", "run_1"):
            write_info(folder.with_name(name), f"start_epoch|{START}, end_epoch|{START + 60}")

        assert len(read(folder).lines) == 2

    def test_an_old_folder_used_twice_is_told(self, folder):
        write_info(
            folder,
            f"start_epoch|{START}, end_epoch|{START + 9}, start_epoch|{START + 60}, "
            f"end_epoch|{START + 90}",
        )

        found = read(folder)

        assert count_starts(folder) == 2
        assert [x.seconds for x in found.lines] == [30]
        assert "p/run_0: its run.info holds 2 starts; the last is billed" in found.notes[0].text

    def test_a_rate_that_is_none_is_told_and_not_zero(self, folder):
        write_info(
            folder, f"start_epoch|{START}, end_epoch|{START + 60}, id|a, client|ACME, rate|45 euros"
        )

        found = read(folder)

        assert found.lines[0].rate is None
        assert found.notes == (
            Note("p/run_0: its rate '45 euros' cannot be read", "ACME", "2026-09"),
        )

    def test_a_run_that_goes_on_is_open(self, folder):
        write_info(folder, f"start_epoch|{START}, id|ab, status|running, client|ACME")

        found = read(folder, zone=ZoneInfo("Europe/Berlin"))

        started = datetime.fromtimestamp(START, UTC)
        assert found.lines == ()
        assert found.open_runs == (
            OpenRun("p/run_0", "ACME", "p", "2026-09", "interrupted", started),
        )
        assert found.notes[0].text == (
            "p/run_0 has no driver and no end, its training started 2026-09-21 16:13; "
            "it is not billed yet"
        )

    def test_a_run_before_its_training_is_open_and_of_no_month(self, folder):
        write_info(folder, "id|ab, status|running, client|ACME")

        found = read(folder)

        assert [(run.month, run.started) for run in found.open_runs] == [("", None)]
        assert "no start of its training is known" in found.notes[0].text
        assert summarise(found, Selection(month="2026-09")).open_runs == ()


class TestFaults:
    @pytest.mark.parametrize(
        ("info", "fault"),
        [
            ("status|failed, id|ab", ""),
            ("nothing of ours", ""),
            (f"start_epoch|{START}, end_epoch|{START}", ""),
            (f"start_epoch|{START}, end_epoch|{START + 20}, seconds|20.9", ""),
            (f"start_epoch|{START}", "it has a start and no end"),
            (f"start_epoch|{START}, end_epoch|soon", "its end_epoch is no time"),
            (f"start_epoch|, end_epoch|{START}", "its start_epoch is no time"),
            (f"start_epoch|{START}000, end_epoch|{START}", "its start_epoch is no time"),
            (f"start_epoch|nan, end_epoch|{START}", "its start_epoch is no time"),
            (
                f"start_time|Tue Nov 24 04:44:51 UTC 2026, end_epoch|{START}",
                "it tells start_time and no start_epoch",
            ),
            (
                f"start_epoch|{START}, end_time|Tue Nov 24 04:44:51 UTC 2026",
                "it tells end_time and no end_epoch",
            ),
            (f"end_epoch|{START}", "it has an end and no start"),
            (f"start_epoch|{START}, end_epoch|{START - 1}", "it ends before it starts"),
            (f"start_epoch|{START}, end_epoch|{START}, seconds|-1", "it ends before it starts"),
            (f"start_epoch|0, end_epoch|{START}", "it tells the years 1970 to 2026"),
            (f"start_epoch|{START}, end_epoch|253402300799", "it tells the years 2026 to 9999"),
            (
                f"start_epoch|{START}, end_epoch|{START + 20}, seconds|3600",
                "it tells 3600 s, with 20 s between its start and its end",
            ),
        ],
    )
    def test_what_is_billed_can_be_true(self, folder, info, fault):
        write_info(folder, info)

        assert fault_of(read_record(folder), folder) == fault

    def test_a_faulty_run_is_named_and_not_billed(self, folder):
        write_info(folder, f"start_epoch|0, end_epoch|{START}, id|ab, client|ACME")

        found = read(folder)

        told = "p/run_0: it tells the years 1970 to 2026; it is not billed"
        assert (found.lines, found.notes) == ((), (Note(told, "ACME", None),))

    def test_a_run_info_that_cannot_be_read_is_told(self, folder):
        (folder / "run.info").mkdir()

        assert "its run.info cannot be read" in fault_of(read_record(folder), folder)

    def test_a_training_whose_run_info_is_gone_is_told(self, folder):
        (folder / "events.jsonl").write_text('{"event":"run.created"}\n')
        assert fault_of(read_record(folder), folder) == ""
        (folder / "events.jsonl").write_text('{"event":"training.started"}\n')

        assert "its journal tells of a training" in fault_of(read_record(folder), folder)

    @quickly
    @given(st.binary(max_size=60), st.binary(max_size=60))
    def test_no_run_info_stops_the_report(self, tmp_path_factory, start, rest):
        folder = tmp_path_factory.mktemp("w") / "projects" / "p" / "results" / "run_0"
        folder.mkdir(parents=True)
        (folder / "run.info").write_bytes(b"start_epoch|" + start + b"\nend_epoch|9\n" + rest)

        as_document(summarise(read(folder), ALL))


class TestMonths:
    @pytest.mark.parametrize(
        ("zone", "month"),
        [("Europe/Berlin", "2026-11"), ("UTC", "2026-10"), ("Asia/Tokyo", "2026-11")],
    )
    def test_the_month_is_that_of_the_start_in_the_zone(self, zone, month):
        assert month_of(datetime(2026, 10, 31, 23, 30, tzinfo=UTC), ZoneInfo(zone)) == month

    def test_the_machine_s_zone_stands_in(self, monkeypatch):
        import time

        with monkeypatch.context() as patch:
            patch.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            found = month_of(datetime(2026, 10, 31, 23, 30, tzinfo=UTC), None)
        time.tzset()

        assert found == "2026-11"

    @pytest.mark.parametrize(
        "text", ["2026", "2026-13", "2026-00", "2026-1", "10-2026", "x", "\uff12026-10"]
    )
    def test_what_is_no_month_is_refused(self, text):
        with pytest.raises(UsageError) as caught:
            check_month(text)

        assert caught.value.hint == "write it as 2026-10"

    @pytest.mark.parametrize(
        ("text", "zone"),
        [
            ("", None),
            ("# timezone: X", None),
            ('timezone: ""', None),
            ("timezone: Europe/Berlin", ZoneInfo("Europe/Berlin")),
        ],
    )
    def test_the_zone_of_the_workspace(self, tmp_path, text, zone):
        (tmp_path / "nasexp.yaml").write_text(text)

        assert workspace_zone(Workspace(tmp_path)) == zone

    @pytest.mark.parametrize(
        "zone", ["Europe/Berlim", "../etc/passwd", "Europe", "[a]", "7", "{a: b}"]
    )
    def test_a_zone_that_is_none_is_refused(self, tmp_path, zone):
        (tmp_path / "nasexp.yaml").write_text(f"host: local\ntimezone: {zone}\n")

        with pytest.raises(ConfigError) as caught:
            workspace_zone(Workspace(tmp_path))

        assert caught.value.message.startswith("nasexp.yaml:2:11: timezone: found ")


class TestFormats:
    def test_a_name_with_a_comma_is_one_cell(self):
        text = as_csv(summarise(books(line(client='A, "B" & Söhne')), ALL))

        assert text.splitlines()[1] == ('"A, ""B"" & Söhne",p,2026-10,1,3600,1.00,45.00,EUR,0')

    def test_no_client_is_told(self):
        report = summarise(books(line(client="")), ALL)

        assert "no client" in as_table(report)
        assert as_document(report)["rows"][0]["client"] == ""
