"""Times of recordings, from names and headers, and parts of the day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from raravis.errors import ParameterError
from raravis.times import Between, header_time, parse_between, start_time, time_zone

FOUR = datetime(2019, 5, 22, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "20190522_040000.WAV",
        "S4A03895_20190522_040000.flac",
        "SITE-7_0+1_20190522_040000_extra.wav",
        "SM4_20190522$040000.wav",
        "20190522040000.wav",
        "20190522T040000Z.wav",
        "2019-05-22T04:00:00Z.wav",
        "2019-05-22T06:00:00+02:00.wav",
        "2019-05-22T00:00:00-0400.wav",
        "2019-05-22 04-00-00.wav",
        "2019-05-22_04-00-00.wav",
        "2019.05.22 04.00.00.wav",
        "1558497600000000000-sample.flac",
        "5CE4C940.WAV",
        "folder_20010101_000000/20190522_040000.wav",
    ],
)
def test_a_name_tells_when_the_recording_began(name):
    assert start_time(name) == FOUR


@pytest.mark.parametrize(
    "name",
    [
        "20191399_000000.wav",  # month 13
        "20190230_000000.wav",  # 30 February
        "20190522_250000.wav",  # hour 25
        "20190522_046100.wav",  # minute 61
        "20190522.wav",  # no time of day
        "2019-05-22.wav",
        "12345678_123456.wav",
        "00000001.WAV",  # as AudioMoth's hexadecimal that would be 1970
        "FFFFFFFF.WAV",
        "5ce4c940.wav",  # AudioMoth wrote capitals
        "recording.wav",
        "20190522_0400.wav",
        "2019-05-22T04:00:00-9900.wav",  # no such zone
        "1558497600.wav",
    ],
)
def test_what_is_no_time_is_not_guessed(name):
    assert start_time(name) is None


def test_a_counter_after_the_time_is_no_zone():
    assert start_time("20190522_040000-0001.wav") == FOUR


def test_an_impossible_date_does_not_hide_a_possible_one():
    assert start_time("20191399_000000_20190522_040000.wav") == FOUR


def test_fractions_of_a_second_are_kept():
    assert start_time("2019-05-22T04:00:00.25Z.wav") == FOUR + timedelta(seconds=0.25)
    assert start_time("1558497600250000000-x.flac") == FOUR + timedelta(seconds=0.25)


def test_a_time_without_zone_is_local_and_one_with_zone_is_not():
    berlin = time_zone("Europe/Berlin")  # two hours ahead of UTC in May
    assert start_time("20190522_060000.wav", berlin) == FOUR
    assert start_time("20190522T040000Z.wav", berlin) == FOUR
    assert start_time("5CE4C940.WAV", berlin) == FOUR
    assert start_time("20190522T040000Z.wav", berlin).hour == 6


@pytest.mark.parametrize(
    ("comment", "hour_utc"),
    [
        ("Recorded at 04:00:00 22/05/2019 (UTC) by AudioMoth 24F3 at medium gain", 4),
        ("Recorded at 04:00:00 22/05/2019 (UTC+2) by AudioMoth 24F3", 2),
        ("Recorded at 04:00:00 22/05/2019 (UTC-3:30) by AudioMoth 24F3", 7.5),
        ("Recorded at 04:00:00.000 22/05/2019 (UTC) by AudioMoth 24F3", 4),
        ("Recorded at 04:00:00 22/05/2019 by AudioMoth 24F3", 3),  # then in the zone given
    ],
)
def test_the_comment_of_audiomoth_tells_when_it_began(comment, hour_utc):
    expected = datetime(2019, 5, 22, tzinfo=UTC) + timedelta(hours=hour_utc)
    assert header_time(comment, time_zone("+01:00")) == expected


@pytest.mark.parametrize(
    "comment", ["", "Recorded at dawn", "Recorded at 04:00:00 32/05/2019 (UTC)"]
)
def test_a_comment_without_time_tells_nothing(comment):
    assert header_time(comment) is None


def test_zones_have_names_or_offsets():
    assert time_zone("UTC") is UTC
    assert time_zone("+02:00") == timezone(timedelta(hours=2))
    assert time_zone("-0330") == timezone(-timedelta(hours=3, minutes=30))


@pytest.mark.parametrize("name", ["Atlantis", "+99:00", "../etc/passwd", "", "Europe"])
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(ParameterError, match=r"timezone .* is unknown: give a name such as"):
        time_zone(name)


def test_between_is_read():
    assert parse_between("04:00-09:00") == Between(4 * 3600, 9 * 3600)
    assert parse_between("4:00 – 09:00:30") == Between(4 * 3600, 9 * 3600 + 30)
    assert parse_between("22:00-02:00") == Between(22 * 3600, 2 * 3600)
    assert parse_between("18:00-00:00") == Between(18 * 3600, 86400)
    assert parse_between("00:00-24:00") == Between(0, 86400)


@pytest.mark.parametrize(
    "text", ["dawn", "04:00", "4-9", "04:00-25:00", "04:60-05:00", "-04:00-5:00"]
)
def test_between_refuses_what_is_no_time_of_day(text):
    with pytest.raises(
        ParameterError, match=r'must be two times of day such as "04:00-09:00", got'
    ):
        parse_between(text)


def test_between_refuses_nothing_at_all():
    with pytest.raises(ParameterError, match=r"is empty: it ends when it begins"):
        parse_between("04:00-04:00")


def test_a_recording_of_an_hour_is_cut_to_the_part_of_the_day():
    morning = parse_between("04:30-09:00")
    assert morning.stretches(FOUR, 3600) == [(1800, 3600)]
    assert morning.stretches(FOUR + timedelta(hours=1), 3600) == [(0, 3600)]
    assert morning.stretches(FOUR + timedelta(hours=8), 3600) == []


def test_a_night_runs_across_midnight():
    night = parse_between("22:00-02:00")
    eleven = datetime(2019, 5, 22, 23, tzinfo=UTC)
    assert night.stretches(eleven, 6 * 3600) == [(0, 3 * 3600)]
    assert night.stretches(eleven + timedelta(hours=2), 86400) == [(0, 3600), (75600, 86400)]


def test_several_days_give_several_stretches():
    noon = parse_between("12:00-13:00")
    midnight = datetime(2019, 5, 22, tzinfo=UTC)
    found = noon.stretches(midnight, 3 * 86400)
    assert found == [(d * 86400 + 43200, d * 86400 + 46800) for d in range(3)]


def test_a_day_with_a_change_of_clocks_has_23_hours():
    # On 31 March 2019 clocks in Berlin went from 02:00 to 03:00: 06:00 is 5 hours after midnight.
    midnight = datetime(2019, 3, 31, tzinfo=time_zone("Europe/Berlin"))
    assert parse_between("06:00-07:00").stretches(midnight, 86400) == [(5 * 3600, 6 * 3600)]
