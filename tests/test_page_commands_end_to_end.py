"""Commands from the page, in a real browser beside a control process: what was asked is what the journal has."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from evencoat.desk import users as file
from evencoat.desk.users import Role
from evencoat.hmi import server
from evencoat.hmi.access import Access
from evencoat.hmi.source import Source
from evencoat.journal import CycleJournal
from evencoat.journal.audit import What
from evencoat.recipes.recipe import check, usual
from evencoat.recipes.store import store_beside
from evencoat.settings import compile_codec, load_line
from firmware_bridge.bus_pythoncan import open_bus
from firmware_bridge.contract import Node, Telegram
from firmware_bridge.link import Transmitter
from tests.controller.core.test_step import Drive
from tests.factories import ToyWeb
from tests.test_end_to_end import PATIENCE_S, Scene
from tests.test_page_end_to_end import FITS, SIZE, address, browser, playwright, pytestmark, until

__all__ = ["browser", "pytestmark"]
PASSWORD = "quite a long password"
ZONE = 7
USERS = {"enid": "engineer", "vera": "viewer"}
CAN_NOT = "vera is viewer, and this takes operator"
ASK_ANYWAY = """async () => {
    const { csrf } = await (await fetch("session.json")).json();
    const headers = { "content-type": "application/json", "x-csrf-token": csrf };
    const body = JSON.stringify({ action: "mode", values: { mode: "manual" }, why: "" });
    return await (await fetch("ask", { method: "POST", headers, body })).json();
}"""


def users_of(scene: Scene) -> Path:
    path = scene.folder / "users.json"
    for name, role in USERS.items():
        call = [sys.executable, "-m", "evencoat", "user", "add", name, "--role", role, "--users", str(path)]
        subprocess.run(call, check=True, input=f"{PASSWORD}\n", capture_output=True, text=True, timeout=PATIENCE_S)
    return path


def opened(scene: Scene, browser: playwright.Browser, mistakes: list[str]) -> playwright.Page:
    """The page of a line that runs, in English."""
    page = browser.new_page(viewport=SIZE, locale="en-GB")
    page.set_default_timeout(1000 * PATIENCE_S)
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.goto(f"http://{address(scene)}")
    until(lambda: page.locator("#mode").inner_text() == "AUTO", "the line in AUTO")
    return page


def log_in(page: playwright.Page, name: str, password: str = PASSWORD) -> None:
    """By keyboard alone."""
    if not page.locator("#confirm").is_visible():
        page.locator("#who").press("Enter")
    page.locator("#confirm input[name=name]").fill(name)
    page.locator("#confirm input[name=password]").fill(password)
    page.keyboard.press("Enter")


def confirmed(page: playwright.Page, button: str, **values: Any) -> str:
    """Ask for something, look at the sentence, confirm it; what came of it. A line that holds is asked again."""
    while True:
        page.locator(button).click()
        assert len(page.locator("#confirm .sentence").inner_text()) > 20
        for name, value in values.items():
            page.locator(f"#confirm input[name={name}]").fill(str(value))
        page.keyboard.press("Enter")
        page.locator("#outcome").wait_for()
        told: str = page.locator("#outcome span").inner_text()
        assert page.evaluate(FITS)
        page.keyboard.press("Escape")
        page.locator("#outcome").wait_for(state="hidden")
        if "is in hold" not in told:
            return told


def turned_to(page: playwright.Page, name: str) -> None:
    page.locator(f"nav a[href='#{name}']").click()


def test_people_command_the_line_from_its_page_and_all_of_it_is_on_record(
    scene: Scene, browser: playwright.Browser
) -> None:
    journal, users, mistakes = scene.folder / "line.sqlite", users_of(scene), list[str]()
    plant = scene.plant("--scenario", "first-shift")
    daemon = scene.daemon("line", "auto", "--users", str(users), "--rearm-always")
    scene.until_auto()
    until(journal.is_file, "a journal")
    scene.children.start("page", "serve", str(journal), "--port", "0", "--users", str(users))
    page = opened(scene, browser, mistakes)
    looks_only(page)
    page.locator("#who").click()
    log_in(page, "enid", "not her password")
    until(lambda: "do not belong together" in page.locator("#confirm .problem").inner_text(), "a wrong password")
    log_in(page, "enid")
    until(lambda: "enid (engineer)" in page.locator("#who").inner_text(), "who is logged in")
    assert page.locator("#controls .hold").get_attribute("title") == "nobody is in command: take command first"
    assert "accepted" in confirmed(page, "#command", why="the night shift")
    before = page.locator("#sigma").inner_text()
    until(lambda: page.locator("#sigma").inner_text() != before, "a profile that moves")
    until(lambda: "enid (page)" in page.locator("#command").inner_text(), "who is in command")
    trim_by_hand(page)
    safe_stop_is_over(page, scene)
    roll_named(page)
    target_um = lip_by_hand(page)
    target_gsm = round(1.005 * float(load_line(scene.line).line.target_profile_gsm.mean()), 2)
    sha256 = recipe_loaded(page, scene)
    turned_to(page, "overview")
    assert "accepted" in confirmed(page, "#controls .target", value=target_gsm)
    page.locator("#controls .hold").click()
    page.keyboard.press("Escape")
    page.locator("#confirm").wait_for(state="hidden")
    assert page.locator("#controls .hold").get_attribute("aria-pressed") == "false", "what is cancelled is not asked"
    alarm = alarm_seen(page, scene, plant)
    turned_to(page, "audit")
    until(lambda: f"alarm {alarm}: seen" in page.locator("#page-audit tbody").inner_text(), "it is on record")
    rows = page.locator("#page-audit tbody").inner_text()
    assert "the plant was stopped" in rows and "nodes may follow commands again" in rows
    assert "alarm safe-stop: put aside for 1 minutes" in rows and "being looked at" in rows
    assert f"anode@2 sha256 {sha256}" in rows and "recipe anode@2: order 4711" in rows
    assert f"target, g/m2: {target_gsm:.3f}" in rows and "enid via page" in rows and "the night shift" in rows
    assert "accepted" in confirmed(page, "#who") and mistakes == []
    scene.children.stop(daemon)
    journal_has(scene, target_um, target_gsm)


def test_a_closed_page_asks_who_one_is_before_it_shows_anything_of_the_line(
    tmp_path: Path, browser: playwright.Browser
) -> None:
    users, settings = tmp_path / "users.json", load_line("pilot-16")
    file.add(users, "vera", Role.VIEWER, PASSWORD)
    with CycleJournal(tmp_path / "line.sqlite", settings.line, settings.text) as written:
        drive = Drive(ToyWeb(settings.line))
        for _ in range(3):
            written.record(drive.cycle(), 1.0, 2.0)
    with served(tmp_path / "line.sqlite", users) as where:
        page = browser.new_page(viewport=SIZE, locale="zh-CN")
        page.goto(where)
        page.locator("#confirm").wait_for()
        assert page.locator("#confirm h2").inner_text() == "登录"
        assert page.locator("h1").inner_text() == "evencoat", "not even the line's name"
        log_in(page, "vera")
        until(lambda: page.locator("h1").inner_text() == "pilot-16", "the line")
        assert page.locator("#controls .hold").get_attribute("title") == "vera 是查看者，此操作需要操作员"
        page.locator("#who").click()
        page.keyboard.press("Enter")
        page.locator("#confirm input[name=password]").wait_for()
        assert page.locator("h1").inner_text() == "evencoat", "nothing of the line is left on the screen"


@contextmanager
def served(journal: Path, users: Path) -> Iterator[str]:
    """A page that is closed to whoever has not logged in, without the TLS that it otherwise takes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        access = Access(journal, users, closed=True)
        app = server.application(Source(journal), ("127.0.0.1",), access)
        running = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="websockets-sansio"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            running.should_exit = running.force_exit = True
            thread.join()


def looks_only(page: playwright.Page) -> None:
    """Who has not logged in, or may only look, is told why, beforehand and by the desk."""
    locked = page.locator("#controls .manual")
    until(lambda: locked.get_attribute("title") == "log in first", "that one has to log in")
    assert locked.is_disabled()
    log_in(page, "vera")
    until(lambda: locked.get_attribute("title") == CAN_NOT, "what a viewer may not")
    assert locked.is_disabled()
    assert page.evaluate(ASK_ANYWAY) == {"accepted": False, "reason": CAN_NOT}
    assert "accepted" in confirmed(page, "#who")


def trim_by_hand(page: playwright.Page) -> None:
    """The whole line in MANUAL and back, and the pump's trim meanwhile."""
    assert page.locator("#controls .trim").get_attribute("title") == "only in MANUAL"
    assert "accepted" in confirmed(page, "#controls .manual")
    until(lambda: page.locator("#mode").inner_text() == "MANUAL", "MANUAL")
    page.locator("#controls .trim").click()
    page.locator("#confirm .fields button").last.click()
    trim_pct = float(page.locator("#confirm input[name=value]").input_value())
    page.keyboard.press("Escape")
    assert "accepted" in confirmed(page, "#controls .trim", value=trim_pct)
    shown = f"{trim_pct:+.2f} %".replace("-", "−")
    until(lambda: page.locator("#controls .trim").inner_text() == f"Pump trim: {shown}", "the trim that was asked for")
    assert "accepted" in confirmed(page, "#controls .auto")
    until(lambda: page.locator("#mode").inner_text() == "AUTO", "AUTO again")


def safe_stop_is_over(page: playwright.Page, scene: Scene) -> None:
    """A node stops the line, somebody releases it, and puts the alarm aside for a minute of the line's time."""
    settings = load_line(scene.line)
    bus = open_bus(scene.address, settings.wire)
    for frame in Transmitter(compile_codec(settings)).frames(Telegram.SAFE_STOP, {"reason": 1}, node=Node.PUMP):
        bus.send(frame)
    until(lambda: page.locator("#state").inner_text() == "Aborted", "PackML's word for a safe stop")
    bus.close()
    assert "accepted" in confirmed(page, "#controls .rearm")
    until(lambda: page.locator("#mode").inner_text() == "AUTO", "AUTO after a re-arm")
    turned_to(page, "alarms")
    row = "#page-alarms tr[data-alarm='safe-stop']"
    assert "accepted" in confirmed(page, f"{row} .aside", minutes=1, why="being looked at")
    assert page.locator(f"{row} td").first.inner_text().startswith("shelved")


def recipe_loaded(page: playwright.Page, scene: Scene) -> str:
    """A grade is changed with the loop closed; the hash of the version that is then in use."""
    store = store_beside(scene.folder / "line.sqlite")
    line = load_line(scene.line).line
    newest = [
        store.save("anode", {**usual(line, None), "target_gsm": gsm}, "enid", "", lambda recipe: check(recipe, line))
        for gsm in (90.0, 90.3)
    ][-1]
    turned_to(page, "recipes")
    row = page.locator("#page-recipes tr[data-recipe='anode@2']")
    row.locator("button").click()
    assert "accepted" in confirmed(page, "#page-recipes .load", why="order 4711")
    until(lambda: "in use" in row.inner_text(), "which one is in use")
    page.locator("#page-recipes tr[data-recipe='anode@1'] button").click()
    until(lambda: "90.30 → 90.00" in page.locator("#chosen").inner_text(), "what differs from it")
    return newest.sha256


def roll_named(page: playwright.Page) -> None:
    """An order and a roll's name; what is not changed is not asked for."""
    turned_to(page, "rolls")
    button = page.locator("#page-rolls .name")
    until(button.is_enabled, "the rolls")
    assert "Nothing is changed" in confirmed(page, "#page-rolls .name")
    assert "accepted" in confirmed(page, "#page-rolls .name", roll_name="R-0815", production_order="4711")
    until(lambda: "R-0815" in page.locator("#page-rolls tbody").inner_text(), "the roll's name")
    button.click()
    assert page.locator("#confirm input[name=production_order]").input_value() == "4711"
    page.keyboard.press("Escape")


def lip_by_hand(page: playwright.Page) -> float:
    """A zone by hand, its lip moved, and given back; where the lip was sent, um."""
    turned_to(page, "zones")
    page.locator(f"#table tr[data-zone='{ZONE - 2}']").click()
    page.locator("#zone .after").click()
    until(lambda: page.locator("#zone h2").inner_text().startswith(f"zone {ZONE}: AUTO"), "the zone that was chosen")
    assert page.locator("#zone .move").is_disabled()
    assert "accepted" in confirmed(page, "#zone .give")
    until(lambda: page.locator("#zone h2").inner_text().startswith(f"zone {ZONE}: MANUAL"), "a zone by hand")
    page.locator("#zone .steps button").last.click()
    target_um = float(page.locator("#confirm input[name=value]").input_value())
    page.keyboard.press("Escape")
    assert "accepted" in confirmed(page, "#zone .move", value=target_um)
    row = page.locator(f"#table tr[data-zone='{ZONE - 1}'] td")
    until(lambda: abs(float(row.nth(2).inner_text()) - target_um) < 0.3, "the lip where it was sent")
    assert "accepted" in confirmed(page, "#zone .give")
    until(lambda: ": AUTO" in page.locator("#zone h2").inner_text(), "the law's again")
    return target_um


def alarm_seen(page: playwright.Page, scene: Scene, plant: subprocess.Popen[bytes]) -> str:
    """The plant falls silent, and somebody has seen it; the alarm's name."""
    turned_to(page, "alarms")
    until(lambda: page.locator("#page-alarms tr[data-alarm='safe-stop']").count() == 0, "the end of the shelf")
    scene.children.stop(plant)
    row = page.locator("#page-alarms tbody tr", has=page.locator(".seen:enabled")).first
    row.wait_for()
    alarm: str = row.get_attribute("data-alarm")
    assert alarm and len(row.locator("td").nth(5).inner_text()) > 10, "what to do about it"
    chosen = f"#page-alarms tr[data-alarm='{alarm}']"
    assert "accepted" in confirmed(page, f"{chosen} .seen", why="the plant was stopped")
    until(lambda: page.locator(f"{chosen} .seen:enabled").count() == 0, "that it is acknowledged")
    return alarm


def journal_has(scene: Scene, target_um: float, target_gsm: float) -> None:
    """The chain has every request in its order, with who and why; and no lip was ever sent further than a rate step."""
    line = load_line(scene.line).line
    with scene.journal("line") as reader:
        assert reader.verify().ok
        records = [record for record in reader.audit() if record.who == "enid via page"]
        cycles = reader.cycles(("t_line_ns", "gap_target_um", "zone_manual", "mode_actual", "target_gsm"))
    asked = [(record.what, record.new) for record in records if record.what in (What.MODE, What.SETPOINT)]
    assert ("mode", f"zones held by hand: [{ZONE}]") in asked and ("mode", "zones held by hand: []") in asked
    assert ("setpoint", f'lips held by hand, um: {{"{ZONE}": {target_um}}}') in asked
    assert asked[-1] == ("setpoint", f"target, g/m2: {target_gsm:.3f}")
    assert "the night shift" in {record.why for record in records if record.what == What.COMMAND}
    named = next(record for record in records if record.what == What.LOT)
    assert "R-0815" in named.new and "4711" in named.new and "material_lot" not in named.new
    held = cycles["zone_manual"][:, ZONE - 1]
    assert held.any() and not held[-1]
    steps_um = np.abs(np.diff(cycles["gap_target_um"].astype(np.float64), axis=0)).max(axis=1)
    passed_s = np.maximum(np.diff(cycles["t_line_ns"]) / 1e9, line.control.cycle_s)  # of a cycle that came late
    closed = (cycles["mode_actual"][1:] == "auto") & (cycles["mode_actual"][:-1] == "auto")
    assert closed.sum() > 50 and held[1:][closed].any()
    assert np.all(steps_um[closed] <= line.lips.rate_um_per_s * passed_s[closed] + 1e-3), "nobody's command jumps"
    assert cycles["target_gsm"][-1] > cycles["target_gsm"][0]
