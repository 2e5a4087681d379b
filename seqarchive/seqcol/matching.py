"""Which member of one collection is which of another: what agrees, what differs, what moved."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

from .digests import Member

#: What two members, or one alone, can be; the closest first.
KINDS = ("same", "renamed", "altered", "replaced", "only_a", "only_b")


class Pair(NamedTuple):
    """A member of A and the one of B that it is; one of the two alone where there is none."""

    kind: str
    """``same``: name and sequence. ``renamed``: the sequence, under another name. ``altered``: name
    and length, with other residues. ``replaced``: the name alone. ``only_a``, ``only_b``."""
    a: int | None
    """Number of the member, from 0."""
    b: int | None
    is_moved: bool = False
    """Whether it stands before or behind others than it did."""


class Matching(NamedTuple):
    """All members of two collections, those of A in their order, then what only B has."""

    a: Sequence[Member]
    b: Sequence[Member]
    pairs: Sequence[Pair]
    n_clashing: int
    """Names that stand for one sequence in A and for another in B."""

    def counts(self) -> dict[str, int]:
        """How many there are of each kind, and how many moved."""
        found = Counter(pair.kind for pair in self.pairs)
        n_moved = sum(pair.is_moved for pair in self.pairs)
        return {**{kind: found[kind] for kind in KINDS}, "moved": n_moved}

    def bands(self, n_bands: int) -> list[tuple[str, bool, int | None, int | None, int]]:
        """The pairs put together for a picture: both collections are cut into so many bands.

        Returns:
            Kind, whether they moved, the bands in A and in B, and how many pairs are so.
        """
        in_a, in_b = (max(1, -(-len(one) // n_bands)) for one in (self.a, self.b))
        found = Counter(
            (
                pair.kind,
                pair.is_moved,
                None if pair.a is None else pair.a // in_a,
                None if pair.b is None else pair.b // in_b,
            )
            for pair in self.pairs
        )
        return [(*key, n) for key, n in found.items()]

    def summary(self) -> str:
        """What they have in common, for people."""
        text = " ".join((_in_common(self), *_warnings(self)))
        return text[0].upper() + text[1:]


def match(a: Iterable[Member], b: Iterable[Member]) -> Matching:
    """Find for each member of A which one of B it is.

    The same name and sequence come first, then the same sequence, then the same name; what is there
    several times is taken in order.
    """
    in_a, in_b = list(a), list(b)
    partner: dict[int, int] = {}
    free = set(range(len(in_b)))
    keys: tuple[Callable[[Member], Hashable], ...] = (
        lambda one: (one.name, one.digest),
        lambda one: one.digest,
        lambda one: one.name,
    )
    for key in keys:
        waiting: dict[Hashable, deque[int]] = defaultdict(deque)
        for n in sorted(free):
            waiting[key(in_b[n])].append(n)
        for n, member in enumerate(in_a):
            if n not in partner and (candidates := waiting.get(key(member))):
                partner[n] = candidates.popleft()
                free.discard(partner[n])
    staying = _longest_rising([partner[n] for n in sorted(partner)])
    pairs = [_pair(in_a, in_b, n, partner.get(n), staying) for n in range(len(in_a))]
    pairs += (Pair("only_b", None, n) for n in sorted(free))
    return Matching(in_a, in_b, pairs, _n_clashing(in_a, in_b))


def _pair(
    a: Sequence[Member], b: Sequence[Member], n: int, partner: int | None, staying: set[int]
) -> Pair:
    if partner is None:
        return Pair("only_a", n, None)
    one, other = a[n], b[partner]
    if one.digest == other.digest:
        kind = "same" if one.name == other.name else "renamed"
    else:
        kind = "altered" if one.length == other.length else "replaced"
    return Pair(kind, n, partner, partner not in staying)


def _longest_rising(numbers: Sequence[int]) -> set[int]:
    """As many of some different numbers as possible that stand in rising order."""
    lasts: list[int] = []  # the lowest last number of a rising row of each length
    before: dict[int, int | None] = {}
    for number in numbers:
        at = bisect_left(lasts, number)
        before[number] = lasts[at - 1] if at else None
        lasts[at : at + 1] = [number]
    found = set()
    last = lasts[-1] if lasts else None
    while last is not None:
        found.add(last)
        last = before[last]
    return found


def _n_clashing(a: Sequence[Member], b: Sequence[Member]) -> int:
    meant = {one.name: one.digest for one in a}
    return sum(meant.get(one.name, one.digest) != one.digest for one in b)


def _in_common(found: Matching) -> str:
    counts = found.counts()
    n_a, n_b, n_shared = len(found.a), len(found.b), counts["same"] + counts["renamed"]
    order = ", in another order" if counts["moved"] else ""
    if n_shared == n_a == n_b:
        if counts["renamed"] == 0 and not order:
            return f"the same collection: {_counted(n_a)} under the same names, in the same order."
        return f"the same {_counted(n_a)} {_names(counts)}{order}."
    if n_shared == 0:
        return f"no sequence in common: A has {n_a:,}, B has {n_b:,}."
    if n_shared in (n_a, n_b):
        part, whole = ("A", "B") if n_shared == n_a else ("B", "A")
        n_part, n_whole = sorted((n_a, n_b))
        return (
            f"{part} is a part of {whole}: its {_counted(n_part)} {_are(n_part)} in {whole} too, "
            f"{_names(counts)}{order}; {whole} has {n_whole - n_part:,} more."
        )
    return (
        f"{_counted(n_shared)} in both, {_names(counts)}{order}; {n_a - n_shared:,} of A "
        f"{_are(n_a - n_shared)} not in B, {n_b - n_shared:,} of B {_are(n_b - n_shared)} not in A."
    )


def _names(counts: dict[str, int]) -> str:
    if not counts["renamed"]:
        return "under the same names"
    if not counts["same"]:
        return "under other names"
    return f"{counts['renamed']:,} of them under other names"


def _warnings(found: Matching) -> Iterator[str]:
    counts = found.counts()
    if counts["altered"]:
        yield (
            f"{counts['altered']:,} {_have(counts['altered'])} the same name and length in both "
            "but other residues, as after masking with N or a correction."
        )
    n_other = found.n_clashing - counts["altered"]
    if n_other > 0:
        yield (
            f"Beware: {n_other:,} {'name stands' if n_other == 1 else 'names stand'} for another "
            "sequence in B than in A."
        )


def _counted(n: int) -> str:
    return f"{n:,} {'sequence' if n == 1 else 'sequences'}"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _have(n: int) -> str:
    return "has" if n == 1 else "have"
