"""What Prometheus is told: how the line is, from its newest cycle, and how far journal and sinks are.

Everything is looked up when somebody asks. The newest cycle comes from the picture in memory, and where nobody paints
one (the run is over, or of another machine), from the journal.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from controller.line.command import Limit, Mode, Rung
from controller.line.description import LineDescription
from evencoat import picture
from evencoat.historian.outbox import Outbox
from evencoat.hmi.source import COLUMNS
from evencoat.journal import JournalError, JournalReader

HERE = "127.0.0.1"
FRESH_S = 5.0  # a picture older than the journal by more is one that was left behind

Family = GaugeMetricFamily | CounterMetricFamily


class Cycle(NamedTuple):
    """The newest cycle: a head and arrays by name, as evencoat.picture tells them."""

    head: dict[str, Any]
    arrays: dict[str, np.ndarray[Any, Any]]


class Line(Collector):
    """The metrics of one line. `outboxes`: what its historian hands on."""

    def __init__(self, journal: Path, line: LineDescription, outboxes: Sequence[Outbox] = ()) -> None:
        self._journal, self._line, self._outboxes = journal, line, outboxes
        self._viewer = picture.Viewer(picture.path_of(journal))
        self._seen: Cycle | None = None

    def collect(self) -> Iterator[Family]:
        """Every metric, each time the same ones; what is not known now has no value."""
        now_s, found, journal_s, counts = time.time(), self._pictured(), math.nan, None
        try:
            with JournalReader(self._journal) as reader:
                last = reader.last_row()
                newest = reader.last_mode()
                journal_s = newest[0] if newest else math.nan
                counts = (last, reader.event_counts(), reader.deadlines_missed())
                if found is None or found.head["t_unix_s"] < journal_s - FRESH_S:
                    found = _written(reader, last)
        except (JournalError, sqlite3.Error):
            pass  # told as evencoat_journal_readable
        yield from self._of_line(found, now_s)
        yield from self._of_journal(found, journal_s, counts)
        yield from self._of_sinks()

    def _pictured(self) -> Cycle | None:
        content = self._viewer.latest()
        if content is not None:
            self._seen = Cycle(*picture.told(content))
        return self._seen

    def _of_line(self, found: Cycle | None, now_s: float) -> Iterator[Family]:
        head = found.head if found is not None else {}
        deviation = _deviation_pct(found, self._line) if found is not None else np.zeros(0)
        some = deviation.size > 0
        yield self._gauge(
            "evencoat_cycle_age_seconds", "since the newest cycle", now_s - head.get("t_unix_s", math.nan)
        )
        yield self._gauge("evencoat_web_speed_metres_per_second", "speed of the web", head.get("web_speed_mps"))
        yield self._gauge(
            "evencoat_deviation_mean_percent",
            "of the measured mean from its target",
            deviation.mean() if some else None,
        )
        yield self._gauge(
            "evencoat_deviation_spread_percent", "standard deviation across the web", deviation.std() if some else None
        )
        yield self._gauge("evencoat_sigma_md_percent", "along the web, of late, about target", head.get("sigma_md_pct"))
        yield self._gauge(
            "evencoat_harris_index", "1 where the mean varies no more than it must", head.get("harris_md")
        )
        yield self._gauge("evencoat_zones_valid", "zones that are measured", deviation.size if found else None)
        following = found.arrays["zone_not_following"].sum() if found else None
        yield self._gauge("evencoat_zones_not_following", "bolts that do not go where they are sent", following)
        yield self._gauge("evencoat_pump_trim_percent", "commanded", head.get("pump_trim_pct"))
        yield self._gauge("evencoat_sending", "1 where commands are sent", head.get("sent"))
        late_us = head.get("lateness_us")
        yield self._gauge("evencoat_lateness_seconds", "of the newest cycle", _seconds(late_us))
        yield self._states("evencoat_mode", "mode", "who moves the actuators", Mode, {head.get("mode_actual")})
        yield self._states("evencoat_rung", "rung", "of the fallback ladder", Rung, {head.get("rung")})
        bound = set(head.get("limits", ()))
        yield self._states("evencoat_limit_bound", "limit", "limits that bound in the newest cycle", Limit, bound)
        faults = len(head["link_faults"]) if found else None
        yield self._gauge(
            "evencoat_link_faults", "faults of gauges, nodes and bus, told in words in the journal", faults
        )

    def _of_journal(
        self, found: Cycle | None, journal_s: float, counts: tuple[int, dict[str, int], int] | None
    ) -> Iterator[Family]:
        last, events, missed = counts if counts is not None else (None, {}, None)
        pictured_s = found.head["t_unix_s"] if found is not None else math.nan
        yield self._gauge("evencoat_journal_readable", "1 where the journal can be read", counts is not None)
        yield self._gauge("evencoat_journal_last_row", "number of the newest row", last)
        lag_s = max(pictured_s - journal_s, 0.0)
        yield self._gauge("evencoat_journal_lag_seconds", "between the newest cycle and the newest row", lag_s)
        yield self._counter("evencoat_deadlines_missed", "as the control process told them", missed)
        family = CounterMetricFamily("evencoat_events", "events in the journal", labels=["line", "kind"])
        for kind, count in sorted(events.items()):
            family.add_metric([self._line.name, kind], count)
        yield family

    def _of_sinks(self) -> Iterator[Family]:
        labels = ["line", "sink"]
        families: list[tuple[Family, Callable[[Outbox], float]]] = [
            (
                GaugeMetricFamily("evencoat_sink_lag_rows", "rows of the journal not kept there yet", labels=labels),
                lambda box: box.progress.lag_rows,
            ),
            (
                GaugeMetricFamily("evencoat_sink_lag_seconds", "how much older its newest row is", labels=labels),
                lambda box: box.progress.lag_s,
            ),
            (
                GaugeMetricFamily("evencoat_sink_up", "1 where the last delivery went through", labels=labels),
                lambda box: not box.progress.error,
            ),
            (
                CounterMetricFamily("evencoat_sink_failures", "deliveries that failed", labels=labels),
                lambda box: box.progress.failures,
            ),
            (
                CounterMetricFamily(
                    "evencoat_sink_missing_rows", "rows pruned before they were handed over", labels=labels
                ),
                lambda box: box.progress.missing_rows,
            ),
        ]
        for family, value in families:
            for box in self._outboxes:
                family.add_metric([self._line.name, box.sink.name], float(value(box)))
            yield family

    def _gauge(self, name: str, words: str, value: float | None) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, words, labels=["line"])
        if value is not None and math.isfinite(value):
            family.add_metric([self._line.name], float(value))
        return family

    def _counter(self, name: str, words: str, value: float | None) -> CounterMetricFamily:
        family = CounterMetricFamily(name, words, labels=["line"])
        if value is not None:
            family.add_metric([self._line.name], value)
        return family

    def _states(
        self, name: str, label: str, words: str, every: type[Mode | Rung | Limit], now: set[str | None]
    ) -> GaugeMetricFamily:
        """One series a state, 1 where it is so."""
        family = GaugeMetricFamily(name, words, labels=["line", label])
        for state in every:
            family.add_metric([self._line.name, str(state)], float(str(state) in now))
        return family


def serve(line: Line, port: int) -> tuple[int, Callable[[], None]]:
    """Answer Prometheus on this machine alone; the port that was taken, and what ends it. Raises OSError."""
    registry = CollectorRegistry()
    registry.register(line)
    server, thread = start_http_server(port, HERE, registry)

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return int(server.server_address[1]), end


def _written(reader: JournalReader, last: int) -> Cycle | None:
    """The newest cycle that the journal has."""
    rows: Mapping[str, Any] = reader.rows(COLUMNS, last, last)
    if not len(rows["cycle"]):
        return None
    row = {name: values[0] for name, values in rows.items()} | {"model_news": ""}
    return Cycle(*picture.told(picture.message(row, float(row["lateness_us"]), float(row["t_unix_s"]))))


def _deviation_pct(found: Cycle, line: LineDescription) -> np.ndarray[Any, Any]:
    """Deviation from target of the zones that are measured, percent."""
    profile = found.arrays["profile_gsm"].astype(np.float64)
    valid = (found.arrays["profile_valid"] > 0.0) & np.isfinite(profile)
    told = found.head.get("target_gsm")  # people may ask for another one
    aimed = line.target_profile_gsm * (1.0 if told is None else told / float(line.target_profile_gsm.mean()))
    deviation: np.ndarray[Any, Any] = 100.0 * (profile[valid] / aimed[valid] - 1.0)
    return deviation


def _seconds(late_us: float | None) -> float | None:
    return None if late_us is None else 1e-6 * late_us
