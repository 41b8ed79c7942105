"""The addresses that the pages read from. What is asked for is bounded; nothing that is asked can hold up the feed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from evencoat.forecast.service import ForecastError, ForecastService
from evencoat.forecast.what_if import WhatIfError
from evencoat.hmi.belief import Belief, BeliefError
from evencoat.hmi.pages import Pages
from evencoat.hmi.recipes import Recipes
from evencoat.hmi.source import Source, SourceError
from evencoat.recipes.recipe import RecipeError

MINUTES_MOST, MINUTES_USUAL = 24.0 * 60.0, 30.0
CAPABILITY_MOST, CAPABILITY_USUAL = 240.0, 10.0
ROLLS_MOST, ROLLS_USUAL = 40.0, 12.0
RECORDS_MOST, RECORDS_USUAL = 200.0, 50.0
QUESTION_MOST = 1e6  # of what-if; the line's own bounds are told to who passes them
REF_MOST = 80  # characters of NAME@VERSION
NEWEST = float(2**53)  # beyond every row and record


class Refused(Exception):
    """What was asked for is out of bounds; the text names it, its value, and the bounds."""


def number(request: Request, name: str, usual: float, least: float, most: float) -> float:
    """A number out of an address. Raises Refused."""
    asked = request.query_params.get(name)
    if asked is None:
        return usual
    try:
        value = float(asked)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise Refused(f"{name} = {asked[:40]}: must lie between {least:.0f} and {most:.0f}")
    return value


def routes(source: Source, recipes: Recipes) -> list[Route]:
    """All that can be read of one line."""
    pages, belief = Pages(source.journal, source.settings.line), Belief(source)
    foreseen = ForecastService(source.journal, source.settings.line, source.last_row)
    return [
        Route("/line.json", partial(_json, lambda _: source.line())),
        Route("/recent", partial(_recent, source)),
        Route("/events.json", partial(_json, lambda _: source.events())),
        Route("/capability.json", partial(_json, partial(_capability, pages))),
        Route("/rolls.json", partial(_json, partial(_rolls, pages))),
        Route("/audit.json", partial(_json, partial(_audit, pages))),
        Route("/verify.json", partial(_json, lambda _: pages.verdict())),
        Route("/recipes.json", partial(_json, lambda _: recipes.told())),
        Route("/recipe.json", partial(_json, partial(_recipe, recipes))),
        Route("/belief.json", partial(_json, lambda _: _believed(belief.told))),
        Route("/virtual.json", partial(_json, lambda _: _believed(belief.web))),
        Route("/forecast.json", partial(_json, lambda _: _foreseen(foreseen.told))),
        Route("/what-if.json", partial(_json, partial(_what_if, foreseen))),
    ]


async def _json(told: Callable[[Request], Any], request: Request) -> Response:
    return JSONResponse(await run_in_threadpool(told, request))


async def _recent(source: Source, request: Request) -> Response:
    minutes = number(request, "minutes", MINUTES_USUAL, 0.0, MINUTES_MOST)
    return Response(await run_in_threadpool(source.recent, minutes), media_type="application/octet-stream")


def _capability(pages: Pages, request: Request) -> dict[str, Any]:
    return pages.capability(number(request, "minutes", CAPABILITY_USUAL, 1.0, CAPABILITY_MOST))


def _rolls(pages: Pages, request: Request) -> list[dict[str, Any]]:
    before, most = number(request, "before", NEWEST, 1.0, NEWEST), number(request, "most", ROLLS_USUAL, 1.0, ROLLS_MOST)
    return pages.rolls(int(before), int(most))


def _audit(pages: Pages, request: Request) -> list[dict[str, Any]]:
    before = number(request, "before", NEWEST, 1.0, NEWEST)
    return pages.audit(int(before), int(number(request, "most", RECORDS_USUAL, 1.0, RECORDS_MOST)))


def _foreseen(told: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return told()
    except ForecastError as error:
        raise SourceError(str(error)) from error


def _what_if(foreseen: ForecastService, request: Request) -> dict[str, Any]:
    """target, g/m2; speed, m/min; solids, points: what is not asked for stays as it is."""
    asked = [
        number(request, name, 0.0, -QUESTION_MOST, QUESTION_MOST) if name in request.query_params else None
        for name in ("target", "speed", "solids")
    ]
    try:
        return _foreseen(partial(foreseen.what_if, *asked))
    except WhatIfError as error:
        raise Refused(str(error)) from error


def _recipe(recipes: Recipes, request: Request) -> dict[str, Any]:
    try:
        return recipes.differing(request.query_params.get("ref", "")[:REF_MOST])
    except (RecipeError, OSError) as error:
        raise Refused(str(error)) from None


def _believed(told: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is believed, or why nothing can be said of it: that is no error of whoever asks."""
    try:
        return {"known": True, **told()}
    except BeliefError as error:
        return {"known": False, "why": str(error)}
