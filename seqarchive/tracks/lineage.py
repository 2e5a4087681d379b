"""Lineage: what a track was computed from, or what was computed from it, as text and picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from ..identifiers import visible
from .provenance import Provenance

#: Of the picture, in pixels.
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 220, 52, 28, 44, 16
_LETTERS = 30


@dataclass(frozen=True)
class Node:
    """A track or a genome.

    Args:
        kind: ``track``, ``genome``, or ``unknown``: named by a provenance, and not there.
        label: What it is called.
        provenance: How it was computed; None if it was not.
    """

    id: str
    kind: str
    label: str
    provenance: Provenance | None = None

    @property
    def how(self) -> str:
        """How it was computed, in a line; empty if it was not."""
        if self.provenance is None:
            return ""
        params = ", ".join(f"{key}={value}" for key, value in self.provenance.params)
        return visible(f"{self.provenance.operation}({params})")


@dataclass(frozen=True)
class Lineage:
    """A graph whose arrows lead from what was used to what was computed.

    Args:
        of: The id that was asked for.
        nodes: It, and what is before or behind it, each once; ``of`` is the first.
        arrows: Ids of an input and of what was computed from it.
        is_down: Whether it is what was computed from ``of``.
    """

    of: str
    nodes: tuple[Node, ...]
    arrows: tuple[tuple[str, str], ...]
    is_down: bool = False

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def ids(self) -> list[str]:
        """All but the one that was asked for."""
        return [node.id for node in self.nodes[1:]]

    def _next(self, id: str) -> list[str]:
        if self.is_down:
            return [after for before, after in self.arrows if before == id]
        return [before for before, after in self.arrows if after == id]

    def text(self) -> str:
        """An indented tree; what was shown above is not shown again in full."""
        nodes = {node.id: node for node in self.nodes}
        lines: list[str] = []
        shown: set[str] = set()
        waiting = [(self.of, 0)]
        while waiting:
            id, depth = waiting.pop()
            node = nodes[id]
            how = f"  {node.how}" if node.how else ""
            again = "  (as above)" if id in shown and self._next(id) else ""
            lines.append(f"{'  ' * depth}{id}  {node.kind} {visible(node.label)}{how}{again}")
            if id not in shown:
                shown.add(id)
                waiting += [(one, depth + 1) for one in reversed(self._next(id))]
        return "\n".join(lines) + "\n"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "id": self.of,
            "nodes": [
                {
                    "id": node.id,
                    "kind": node.kind,
                    "label": node.label,
                    "provenance": node.provenance.as_dict() if node.provenance else None,
                }
                for node in self.nodes
            ],
            "arrows": [list(arrow) for arrow in self.arrows],
        }

    def dot(self) -> str:
        """For Graphviz."""
        lines = ["digraph lineage {", "  node [shape=box];"]
        for node in self.nodes:
            text = "\n".join(filter(None, (visible(node.label), node.how)))
            lines.append(f"  {_quoted(node.id)} [label={_quoted(text)}];")
        lines += (f"  {_quoted(before)} -> {_quoted(after)};" for before, after in self.arrows)
        return "\n".join([*lines, "}"]) + "\n"

    def svg(self) -> str:
        """A picture: what was used above what was computed from it."""
        rows = self._rows()
        widest = max(map(len, rows))
        width = 2 * _MARGIN + widest * (_WIDTH + _GAP_X) + (_WIDTH / 4 if len(rows) > 2 else 0)
        height = 2 * _MARGIN + len(rows) * (_HEIGHT + _GAP_Y) - _GAP_Y
        places: dict[str, tuple[float, float]] = {}
        for y, row in enumerate(rows):
            left = (width - (len(row) * (_WIDTH + _GAP_X) - _GAP_X)) / 2
            for x, node in enumerate(row):
                places[node.id] = (
                    left + x * (_WIDTH + _GAP_X),
                    _MARGIN + y * (_HEIGHT + _GAP_Y),
                )
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'width="{width:g}" height="{height:g}" role="img" '
            f'aria-label="{escape("lineage of " + self.of, quote=True)}" '
            'font-family="sans-serif" font-size="12">'
        ]
        parts += (_arrow(places[before], places[after]) for before, after in self.arrows)
        parts += (_box(node, *places[node.id], is_it=node.id == self.of) for node in self.nodes)
        return "\n".join([*parts, "</svg>"]) + "\n"

    def _rows(self) -> list[list[Node]]:
        """Nodes by the longest way from what nothing leads to."""
        depth = {node.id: 0 for node in self.nodes}
        for _ in self.nodes:  # a longest way is no longer than that
            changed = False
            for before, after in self.arrows:
                if depth[after] <= depth[before]:
                    depth[after], changed = depth[before] + 1, True
            if not changed:
                break
        rows: list[list[Node]] = [[] for _ in range(max(depth.values()) + 1)]
        for node in self.nodes:
            rows[depth[node.id]].append(node)
        return [row for row in rows if row]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _short(text: str) -> str:
    return text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _arrow(before: tuple[float, float], after: tuple[float, float]) -> str:
    x1, y1 = before[0] + _WIDTH / 2, before[1] + _HEIGHT
    x2, y2 = after[0] + _WIDTH / 2, after[1]
    middle = (y1 + y2) / 2
    # One that passes other rows goes around what is there.
    aside = 0.8 * (_WIDTH + _GAP_X) if y2 - y1 > 2 * _GAP_Y else 0.0
    return (
        f'<path d="M{x1:g},{y1:g} C{x1 + aside:g},{middle:g} {x2 + aside:g},{middle:g} '
        f'{x2:g},{y2 - 5:g}" '
        'fill="none" stroke="#888"/>'
        f'<path d="M{x2 - 4:g},{y2 - 7:g} L{x2:g},{y2:g} L{x2 + 4:g},{y2 - 7:g} Z" fill="#888"/>'
    )


_FILLS = {"genome": "#dbe9f6", "track": "#eef4e4", "unknown": "#eeeeee"}


def _box(node: Node, x: float, y: float, *, is_it: bool) -> str:
    label = visible(node.label)  # and what XML may have in it
    title = "\n".join(filter(None, (node.id, label, node.how)))
    edge = 'stroke="#1b3a57" stroke-width="2"' if is_it else 'stroke="#888"'
    lines = [_short(label or node.id), _short(node.how or node.kind)]
    return (
        f'<g><title>{escape(title)}</title><rect x="{x:g}" y="{y:g}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" rx="4" fill="{_FILLS[node.kind]}" {edge}/>'
        f'<text x="{x + 10:g}" y="{y + 21:g}" fill="#111">{escape(lines[0])}</text>'
        f'<text x="{x + 10:g}" y="{y + 39:g}" fill="#444">{escape(lines[1])}</text></g>'
    )


def walked(
    of: str,
    node_of: Callable[[str], Node],
    next_of: Callable[[str], Iterable[str]],
    *,
    is_down: bool,
) -> Lineage:
    """The lineage of an id.

    Args:
        node_of: What an id stands for.
        next_of: The ids of its inputs; or, with ``is_down``, of what was computed from it.
    """
    nodes: dict[str, Node] = {of: node_of(of)}
    arrows: dict[tuple[str, str], None] = {}
    waiting = [of]
    while waiting:
        id = waiting.pop(0)
        for one in next_of(id):
            if one not in nodes:
                nodes[one] = node_of(one)
                waiting.append(one)
            arrows[(id, one) if is_down else (one, id)] = None
    return Lineage(of, tuple(nodes.values()), tuple(arrows), is_down)
