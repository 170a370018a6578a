"""The page of a rollout log, and the JSON behind it: a small ASGI app.

Covers: lists, curves, groups, suspects, single rollouts; protection of whoever looks.
Does not cover: the index (index.py), the page itself (page/), serving on the loopback (commands/rollouts.py).
What protects: there is nothing to write to; requests for other hosts' names are refused (a page elsewhere that has
its own name point here reads nothing); no answer of ours may be framed, sniffed or read by other sites; the page's
policy allows no script but its files, and it puts texts of models into text nodes only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import pyarrow
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from acecoder_rl.rollouts import alarms
from acecoder_rl.rollouts.index import SORTS, Filter, Index
from acecoder_rl.rollouts.suspects import FLAGS

PAGE = Path(__file__).parent / "page"
MOST_ROWS = 500  # of one answer
MOST_SIBLINGS = 64
HOSTS = ["127.0.0.1", "localhost"]
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class _Headers:
    """Puts HEADERS on every answer, files and errors too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                others = [pair for pair in message["headers"] if pair[0].decode().lower() not in HEADERS]
                message = {**message, "headers": others + ours}
            await send(message)

        await self.app(scope, receive, with_headers)


class BadQuery(ValueError):
    """A parameter has no such value."""


def app(index: Index) -> Starlette:
    """The app for a log."""

    def answers(call: Callable[[Index, Mapping[str, str]], Any]) -> Callable[[Request], Any]:
        def locked(query: Mapping[str, str]) -> Any:
            with index.lock:
                return call(index, query)

        async def endpoint(request: Request) -> Response:
            try:
                found = await run_in_threadpool(locked, dict(request.query_params))
            except BadQuery as error:
                return _json({"error": str(error)}, 400)
            except (LookupError, FileNotFoundError):
                return _json({"error": "it is not in the log (any more)"}, 404)
            except (OSError, pyarrow.ArrowException) as error:
                return _json({"error": f"its file cannot be read: {error}"}, 500)
            return _json(found)

        return endpoint

    calls = {"summary": summary, "rows": rows, "curves": curves, "groups": groups, "suspects": suspects}
    routes = [Route(f"/api/{name}", answers(call), methods=["GET"]) for name, call in calls.items()]
    routes.append(Route("/api/rollout", answers(rollout), methods=["GET"]))
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)
    page = Mount("/", StaticFiles(directory=PAGE, html=True))
    return Starlette(
        routes=[*routes, page],
        middleware=[Middleware(_Headers), hosts, Middleware(GZipMiddleware, minimum_size=100_000, compresslevel=1)],
    )


def summary(index: Index, query: Mapping[str, str]) -> dict[str, Any]:
    """What is there, after a look for new files."""
    index.refresh()
    columns = index.columns
    steps = columns["step"][columns["step"] >= 0]
    return {
        "name": index.name,
        "folder": str(index.folder),
        "version": index.version,
        "rows": len(index),
        "problems": len(index.problems),
        "steps": [int(steps.min()), int(steps.max())] if len(steps) else None,
        "evaluations": bool(columns["eval"].any()),
        "repeated": int(columns["repeated"].sum()),
        "dropped": index.dropped,
        "unreadable": index.unreadable,
        "flags": [{"name": name, "what": what} for name, what in FLAGS.items()],
    }


def rows(index: Index, query: Mapping[str, str]) -> dict[str, Any]:
    """A piece of the list that a filter gives."""
    chosen = _chosen(index, query)
    offset, limit = _number(query, "offset", int) or 0, _number(query, "limit", int)
    limit = MOST_ROWS if limit is None else min(limit, MOST_ROWS)
    if offset < 0 or limit < 0:
        raise BadQuery(f"offset {offset}, limit {limit}: give 0 or more")
    return {"matched": len(chosen), "offset": offset, "rows": index.brief(chosen[offset : offset + limit].tolist())}


def curves(index: Index, query: Mapping[str, str]) -> dict[str, Any]:
    """Means a step over what a filter gives."""
    return alarms.curves(index, _chosen(index, query))


def groups(index: Index, query: Mapping[str, str]) -> dict[str, Any]:
    """The samples of a problem within a step: how many groups there are, and those that teach nothing."""
    first, sizes, least, greatest = index.groups(_chosen(index, query))
    several = sizes > 1
    flat = several & (least == greatest)
    found = numpy.flatnonzero(flat)
    found = found[numpy.argsort(-index.columns["step"][first[found]], kind="stable")][:MOST_ROWS]
    told = index.brief(first[found].tolist())
    for record, at in zip(told, found, strict=True):
        record["size"] = int(sizes[at])
    return {
        "groups": int(several.sum()),
        "without_spread": int(flat.sum()),
        "all_best": int((flat & (least >= 1)).sum()),
        "all_worst": int((flat & (greatest <= 0)).sum()),
        "rows": told,
    }


def suspects(index: Index, query: Mapping[str, str]) -> dict[str, Any]:
    """Flags with their counts, and alarms over the whole run."""
    counts = alarms.flag_counts(index)
    holdouts = bool((~numpy.isnan(index.columns["holdout_pass_rate"])).any())
    flags = [{"name": name, "what": what, "rows": counts[name]} for name, what in FLAGS.items()]
    return {"flags": flags, "jumps": alarms.jumps(index), "holdouts": holdouts}


def rollout(index: Index, query: Mapping[str, str]) -> dict[str, Any]:
    """One rollout, and the group that it is in."""
    row = index.row(query.get("key", ""))
    if row is None:
        raise LookupError
    siblings = index.siblings(row)
    return {"rollout": index.whole(row), "group": index.brief(siblings[:MOST_SIBLINGS].tolist()), "size": len(siblings)}


def _chosen(index: Index, query: Mapping[str, str]) -> numpy.ndarray:
    sort = query.get("sort") or "time"
    if sort not in SORTS:
        raise BadQuery(f"sort is {sort!r}: give one of {', '.join(SORTS)}")
    mode = query.get("mode", "")
    if mode not in ("", "train", "eval"):
        raise BadQuery(f"mode is {mode!r}: give train or eval")
    flags = tuple(FLAGS) if query.get("flags") == "any" else tuple(filter(None, query.get("flags", "").split(",")))
    if unknown := set(flags) - set(FLAGS):
        raise BadQuery(f"flags is {query['flags']!r}: there is no {', '.join(sorted(unknown))}")
    wanted = Filter(
        mode, _number(query, "step_min", int), _number(query, "step_max", int), _number(query, "reward_min", float),
        _number(query, "reward_max", float), flags, query.get("problem", ""), query.get("exact"), query.get("text", ""),
        query.get("repeated") == "1",
    )  # fmt: skip
    return index.select(wanted, sort, query.get("ascending") != "1")


def _number(query: Mapping[str, str], name: str, kind: type[Any]) -> Any:
    text = query.get(name, "")
    try:
        return kind(text) if text else None
    except ValueError:
        raise BadQuery(f"{name} is {text!r}: give a number") from None


def _json(value: Any, status: int = 200) -> Response:
    # Within ASCII: a lone surrogate, should one be left in a text, breaks no answer.
    return Response(json.dumps(value, separators=(",", ":"), allow_nan=False), status, media_type="application/json")
