"""A plot of a run as SVG: throughput and latency over the number of clients, one line per server."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from .drive import COMMIT
from .report import quantile
from .run import MAX_MESSAGES, CellResult, Plan, RunResult
from .servers import LABELS
from .work import BID

_WIDTH, _HEIGHT, _MARGIN, _TOP = 380, 250, 50, 40
_COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e6bbf")
_TICKS = 4
Points = Sequence[tuple[int, float]]
"""(clients, value)."""


def plot(result: RunResult, plan: Plan) -> str:
    """Bids in the auction, one row of panels per batch timeout."""
    rows = []
    for row, timeout in enumerate(plan.batch_timeouts):
        cells = [
            item
            for item in result.cells
            if item.batch_timeout == timeout and item.cell.work == BID and item.cell.until == COMMIT
        ]
        under = f"batch timeout {timeout}, {MAX_MESSAGES} transactions per block at most"
        rows.append(_panel(0, row, f"bids per second, to commit; {under}", _lines(cells, _rate)))
        rows.append(_panel(1, row, f"p50 to commit in ms; {under}", _lines(cells, _latency)))
    width, height = 2 * (_WIDTH + 2 * _MARGIN), len(rows) // 2 * (_HEIGHT + _TOP + _MARGIN) + 20
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
                ' font-size="11">'
            ),
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *rows,
            *_legend(plan.servers, height - 8),
            "</svg>",
            "",
        ]
    )


def _lines(cells: Sequence[CellResult], of: Callable[[CellResult, str], float]) -> dict[str, Points]:
    names = list(dict.fromkeys(name for item in cells for name in item.measured))
    return {name: [(item.cell.clients, of(item, name)) for item in cells if name in item.measured] for name in names}


def _rate(item: CellResult, server: str) -> float:
    rounds = sorted(measured.turn.per_second for measured in item.measured[server])
    return rounds[len(rounds) // 2]


def _latency(item: CellResult, server: str) -> float:
    times = [one for measured in item.measured[server] for one in measured.turn.times]
    return 1000 * quantile(times, "committed", 0.5)


def _panel(column: int, row: int, title: str, lines: Mapping[str, Points]) -> str:
    left = column * (_WIDTH + 2 * _MARGIN) + _MARGIN
    top = row * (_HEIGHT + _TOP + _MARGIN) + _TOP
    highest = _round_up(max((value for points in lines.values() for _, value in points), default=1.0))
    clients = sorted({count for points in lines.values() for count, _ in points})
    widest = max(1.0, math.log2(max(clients, default=2)))

    def place(count: int, value: float) -> tuple[float, float]:
        return left + _WIDTH * math.log2(count) / widest, top + _HEIGHT * (1 - value / highest)

    parts = [f'<text x="{left}" y="{top - 12}" font-weight="bold">{escape(title)}</text>']
    for tick in range(_TICKS + 1):
        value = highest * tick / _TICKS
        _, y = place(1, value)
        parts.append(f'<path d="M{left} {y:.1f}h{_WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for count in clients:
        x, _ = place(count, 0)
        parts.append(f'<text x="{x:.1f}" y="{top + _HEIGHT + 16}" text-anchor="middle">{count}</text>')
    for name, points in lines.items():
        number = list(LABELS).index(name)
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in (place(*point) for point in points)
        ]
    return "\n".join(parts)


def _legend(servers: Sequence[str], y: int) -> list[str]:
    parts, x = [], _MARGIN
    for name in servers:
        number = list(LABELS).index(name)
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 15}" y="{y}">{escape(name)}</text>')
        x += 30 + 7 * len(name)
    parts.append(f'<text x="{x + 20}" y="{y}" fill="#555">over the number of clients</text>')
    return parts


def _round_up(value: float) -> float:
    """The next of 1, 2, 4 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * power for step in (1, 2, 4, 10) if step * power >= value)
