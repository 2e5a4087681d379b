"""What two collections have in common: the comparison of the standard, and in words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from ..errors import BadInput, BadName
from ..identifiers import parse_digest
from .digests import Member

#: The attributes of a collection that are compared element by element.
_ATTRIBUTES = ("lengths", "name_length_pairs", "names", "sequences", "sorted_sequences")

_COLLATED = ("names", "lengths", "sequences")

Level2 = Mapping[str, Sequence[Any]]


def compare(
    a: Level2,
    b: Level2,
    *,
    digest_a: str | None = None,
    digest_b: str | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """The comparison of two collections as GA4GH's standard defines it.

    Args:
        a, b: Their attributes at level 2.
        digest_a, digest_b: Their digests, if they have one.
        strict: A single element in both has no order, says the text of the standard (and gtars);
            it is in order, say its test suite and refget.

    Returns:
        ``digests``, ``attributes`` and ``array_elements``; ready for JSON. ``a_and_b_same_order``
        is None if nothing is in both, or if an element is not in both equally often; see also
        ``strict``.
    """
    both = sorted(a.keys() & b.keys())
    elements = {name: _elements(a[name], b[name], 2 if strict else 1) for name in both}
    return {
        "digests": {"a": digest_a, "b": digest_b},
        "attributes": {
            "a_only": sorted(a.keys() - b.keys()),
            "b_only": sorted(b.keys() - a.keys()),
            "a_and_b": both,
        },
        "array_elements": {
            "a_count": {name: len(a[name]) for name in sorted(a)},
            "b_count": {name: len(b[name]) for name in sorted(b)},
            "a_and_b_count": {name: number for name, (number, _) in elements.items()},
            "a_and_b_same_order": {name: same for name, (_, same) in elements.items()},
        },
    }


def _hashable(element: object) -> Hashable:
    """Something that is equal for equal elements of JSON."""
    if isinstance(element, (dict, list)):
        return json.dumps(element, sort_keys=True)
    return type(element).__name__, element  # true is not 1


def _elements(a: Sequence[object], b: Sequence[object], n_ordered: int) -> tuple[int, bool | None]:
    """How many elements two arrays share, and whether in one order if they are so many."""
    in_a, in_b = [_hashable(element) for element in a], [_hashable(element) for element in b]
    counts_a, counts_b = Counter(in_a), Counter(in_b)
    n_shared = (counts_a & counts_b).total()
    shared_a = [element for element in in_a if element in counts_b]
    shared_b = [element for element in in_b if element in counts_a]
    if n_shared < n_ordered or not len(shared_a) == len(shared_b) == n_shared:
        return n_shared, None
    return n_shared, shared_a == shared_b


def in_words(a: Level2, b: Level2) -> list[str]:
    """What two collections have in common, the most important first; for people."""
    in_a, in_b = Counter(a["sequences"]), Counter(b["sequences"])
    n_shared = (in_a & in_b).total()
    lines = [
        _verdict(a, b),
        f"{n_shared:,} sequences in both, {in_a.total() - n_shared:,} only in A, "
        f"{in_b.total() - n_shared:,} only in B",
    ]
    by_name_a, by_name_b = (dict(zip(x["names"], x["sequences"], strict=True)) for x in (a, b))
    both = by_name_a.keys() & by_name_b.keys()
    other = sorted(name for name in both if by_name_a[name] != by_name_b[name])
    what = f", {len(other):,} of them for different sequences ({_some(other)})" if other else ""
    lines.append(f"{len(both):,} names in both{what}")
    renamed = _renamed(a, b)
    if renamed:
        lines.append(f"{len(renamed):,} sequences have other names ({_some(renamed)})")
    return lines


def _verdict(a: Level2, b: Level2) -> str:
    named_a, named_b = (list(zip(x["names"], x["sequences"], strict=True)) for x in (a, b))
    if named_a == named_b:
        return "the same collection"
    named = _relation(Counter(named_a), Counter(named_b))
    if named == "same":
        return "the same sequences under the same names, in another order"
    sequences = _relation(Counter(a["sequences"]), Counter(b["sequences"]))
    if sequences == "same":
        is_ordered = list(a["sequences"]) == list(b["sequences"])
        return f"the same sequences under other names{'' if is_ordered else ', in another order'}"
    return {
        "apart": "no sequence in common",
        "overlapping": "some sequences in common",
        "A in B": "the sequences of A are a part of those of B",
        "B in A": "the sequences of B are a part of those of A",
    }[sequences] + (", under the same names" if named == sequences != "apart" else "")


def _relation(a: Counter[Any], b: Counter[Any]) -> str:
    """How two multisets lie to each other."""
    if a == b:
        return "same"
    if not a & b:
        return "apart"
    if a <= b:
        return "A in B"
    return "B in A" if b <= a else "overlapping"


def _renamed(a: Level2, b: Level2) -> list[str]:
    """Sequences that are in both, once in each, under different names."""
    once = [
        {
            sequence: name
            for name, sequence in zip(one["names"], one["sequences"], strict=True)
            if counts[sequence] == 1
        }
        for one, counts in ((a, Counter(a["sequences"])), (b, Counter(b["sequences"])))
    ]
    first, second = once
    return [
        f"{name} -> {second[sequence]}"
        for sequence, name in first.items()
        if sequence in second and second[sequence] != name
    ]


def _some(texts: Sequence[str], n_shown: int = 3) -> str:
    return ", ".join(texts[:n_shown]) + (", ..." if len(texts) > n_shown else "")


def parse_level2(
    data: bytes, source: str, *, needed: Sequence[str] = _COLLATED
) -> dict[str, list[Any]]:
    """A collection at level 2 that somebody wrote as JSON.

    Args:
        needed: What it has to have; without sequences, it may be a coordinate system.

    Raises:
        BadInput: It is none: names, lengths and sequences are equally long.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise BadInput("not JSON", file=source) from None
    if not isinstance(found, dict) or not all(isinstance(one, list) for one in found.values()):
        raise BadInput("not a collection at level 2 (an object of arrays)", file=source)
    missing = [name for name in needed if name not in found]
    if missing:
        raise BadInput(f"a collection without {', '.join(missing)}", file=source)
    if len({len(found[name]) for name in _COLLATED if name in found}) != 1:
        raise BadInput("names, lengths and sequences are not equally many", file=source)
    if not all(isinstance(one, str) for one in (*found["names"], *found.get("sequences", ()))):
        raise BadInput("names and sequences are strings", file=source)
    if not all(type(one) is int and one >= 0 for one in found["lengths"]):
        raise BadInput("lengths are numbers of residues", file=source)
    return found


def members_in(found: Level2, source: str) -> list[Member]:
    """The members of a collection at level 2.

    Raises:
        BadInput: A sequence that is no digest.
    """
    rows = zip(found["names"], found["lengths"], found["sequences"], strict=True)
    try:
        return [Member(name, length, parse_digest(sequence)) for name, length, sequence in rows]
    except BadName as error:
        raise BadInput(error.message, file=source) from None
