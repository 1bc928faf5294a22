"""Settings: where they are looked for, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventstore.errors import SettingError
from headwater.settings import load_settings, shown


def test_without_any_the_defaults_hold() -> None:
    loaded = load_settings()
    assert loaded.settings.partitions == 8
    assert loaded.origins == {}


def test_the_environment_wins_over_env_file_and_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.headwater]\napp = "a:app"\npartitions = 2\nattempts = 9\n')
    (tmp_path / ".env").write_text("OTHER=1\nHEADWATER_PARTITIONS=3\nHEADWATER_BATCH_SIZE=7\n")
    monkeypatch.setenv("HEADWATER_PARTITIONS", "4")
    loaded = load_settings()
    found = loaded.settings
    assert (found.partitions, found.batch_size, found.attempts, found.app) == (4, 7, 9, "a:app")
    assert loaded.origins["partitions"] == ("environment variable", "HEADWATER_PARTITIONS")
    assert loaded.origins["batch_size"] == (".env, line 3:", "HEADWATER_BATCH_SIZE")
    assert loaded.origins["attempts"] == ("pyproject.toml, [tool.headwater]:", "attempts")


def test_the_nearest_project_file_above_counts(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.headwater]\napp = "shop.app:app"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    loaded = load_settings(below)
    assert (loaded.settings.app, loaded.folder) == ("shop.app:app", tmp_path)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("environment", "environment variable HEADWATER_PARTITIONS = 'many'"),
        (".env", ".env, line 1: HEADWATER_PARTITIONS = 'many'"),
        ("pyproject.toml", "pyproject.toml, [tool.headwater]: partitions = 'many'"),
    ],
)
def test_a_wrong_setting_is_named_with_where_it_came_from(
    place: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "environment":
        monkeypatch.setenv("HEADWATER_PARTITIONS", "many")
    elif place == ".env":
        (tmp_path / place).write_text("HEADWATER_PARTITIONS=many\n")
    else:
        (tmp_path / place).write_text('[tool.headwater]\npartitions = "many"\n')
    with pytest.raises(SettingError, match="the setting partitions is wrong") as caught:
        load_settings()
    assert caught.value.why == said


def test_an_unknown_setting_is_refused_with_what_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_DATABSE", "sqlite:///a.db")
    with pytest.raises(SettingError, match="no setting 'databse'") as caught:
        load_settings()
    assert caught.value.fix == "did you mean HEADWATER_DATABASE?"


def test_an_unknown_setting_of_the_project_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.headwater]\napps = "a:app"\n')
    with pytest.raises(SettingError) as caught:
        load_settings()
    assert caught.value.fix == "did you mean app?"


def test_a_project_file_that_is_not_toml_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.headwater\n")
    with pytest.raises(SettingError, match="cannot be read"):
        load_settings()


def test_kafka_is_not_a_choice_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_EVENTS", "kafka://broker:9092")
    with pytest.raises(SettingError, match="keeps the log in the database only"):
        load_settings()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://joe:s3cret@host/db",
        "postgresql://joe:s3cret@with:colon/and@at@host/db",
        "postgresql://host/db?user=joe&password=s3cret",
        "postgresql://joe:s3cret@host/db?sslpassword=s3cret",
        "nonsense://joe:s3cret@",
        "postgresql://joe@[::1/db?password=s3cret",
        "host=localhost user=joe password=s3cret",
        "host=localhost user=joe password = 's3cret s3cret'",
        {"url": "postgresql://joe@host/db", "password": "s3cret"},
    ],
)
def test_passwords_are_never_shown(url: object) -> None:
    assert "s3cret" not in shown(url)
    assert "joe" in shown(url)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("tool = 1", "it is 1"),
        ("[[tool]]\nx = 1", "it is"),
        ("[tool]\nheadwater = 'app'", "it is 'app'"),
        ("[tool.headwater]\nx = " + "[" * 9_000, "recursion"),
        ("[tool.headwater]\nstop_seconds = inf", "stop_seconds = inf"),
        ("[tool.headwater]\nparked_window = nan", "parked_window = nan"),
    ],
)
def test_a_project_file_of_another_shape_is_refused(written: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(written)
    with pytest.raises(SettingError) as caught:
        load_settings(tmp_path)
    assert why in caught.value.why


def test_an_env_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"HEADWATER_APP=\xff")
    with pytest.raises(SettingError, match=r"\.env cannot be read"):
        load_settings(tmp_path)
