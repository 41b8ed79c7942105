"""What `make check` says of what pip-audit found: a weakness fails; an index that knows nothing is no clean bill."""

from __future__ import annotations

from tests.supply_chain import told

SOUND = {"name": "numpy", "version": "2.4.0", "vulns": []}
WEAK = {"name": "jinja2", "version": "3.0.0", "vulns": [{"id": "PYSEC-2025-1", "fix_versions": ["3.1.6"]}]}
SKIPPED = {"name": "evencoat", "skip_reason": "Dependency not found on PyPI"}


def test_a_known_weakness_fails_by_name() -> None:
    code, words = told({"dependencies": [SOUND, WEAK, SKIPPED]})
    assert code == 1
    assert words.splitlines() == [
        "2 packages audited, 1 skipped, 1 known weaknesses",
        "jinja2 3.0.0: PYSEC-2025-1, mended in 3.1.6",
    ]


def test_none_known_passes() -> None:
    assert told({"dependencies": [SOUND, SKIPPED]}) == (0, "1 packages audited, 1 skipped, 0 known weaknesses")


def test_advisories_out_of_reach_are_said_and_are_no_failure() -> None:
    code, words = told(None, "Connection refused")
    assert code == 0 and words == "NOT AUDITED: the advisories could not be reached (Connection refused)"
    code, words = told({"dependencies": [SKIPPED, SKIPPED]})
    assert code == 0 and words.startswith("NOT AUDITED: the package index knows none of 2 packages")
