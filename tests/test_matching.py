"""Which member of a collection is which of another, and what sequences consist of."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqarchive.composition import composition
from seqarchive.identifiers import Digest
from seqarchive.seqcol.digests import Member
from seqarchive.seqcol.matching import KINDS, Matching, match

_MEMBERS = st.lists(
    st.builds(
        Member,
        name=st.sampled_from("abcdefg"),
        length=st.integers(1, 2),
        digest=st.sampled_from([Digest(letter * 32) for letter in "PQRSTU"]),
    ),
    max_size=9,
)


def members(text: str) -> list[Member]:
    """``x1 y2``: name and sequence of each; a sequence in lower case has another length."""
    return [Member(one[0], 5 + one[1].islower(), Digest(one[1] * 32)) for one in text.split()]


def kinds(found: Matching) -> dict[str, int]:
    return {kind: n for kind, n in found.counts().items() if n}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("xP yQ", "xP yQ", {"same": 2}),
        ("xP yQ zR", "zR xP yQ", {"same": 3, "moved": 1}),
        ("xP yQ", "uP vQ", {"renamed": 2}),
        ("xP yQ", "xQ yP", {"renamed": 2, "moved": 1}),
        ("xP yQ", "xR yQ", {"altered": 1, "same": 1}),
        ("xP yQ", "xr yQ", {"replaced": 1, "same": 1}),
        ("xP", "yQ", {"only_a": 1, "only_b": 1}),
        ("xP xP", "xP", {"same": 1, "only_a": 1}),
        ("xP yP", "yP", {"same": 1, "only_a": 1}),  # the one of the same name
        ("", "", {}),
    ],
)
def test_each_kind(a: str, b: str, expected: dict[str, int]) -> None:
    assert kinds(match(members(a), members(b))) == expected


@given(_MEMBERS, _MEMBERS)
@settings(max_examples=300, deadline=None)
def test_every_member_is_there_once_and_is_what_is_said(a: list[Member], b: list[Member]) -> None:
    found = match(a, b)
    assert sorted(pair.a for pair in found.pairs if pair.a is not None) == [*range(len(a))]
    assert sorted(pair.b for pair in found.pairs if pair.b is not None) == [*range(len(b))]
    for pair in found.pairs:
        if pair.a is None or pair.b is None:
            assert pair.kind == ("only_b" if pair.a is None else "only_a")
            continue
        one, other = a[pair.a], b[pair.b]
        is_one = (one.name == other.name, one.digest == other.digest, one.length == other.length)
        assert {
            "same": is_one[:2] == (True, True),
            "renamed": is_one[:2] == (False, True),
            "altered": is_one == (True, False, True),
            "replaced": is_one == (True, False, False),
        }[pair.kind]
    shared = (Counter(one.digest for one in a) & Counter(one.digest for one in b)).total()
    counts = found.counts()
    assert counts["same"] + counts["renamed"] == shared
    staying = [pair.b for pair in found.pairs if pair.a is not None and pair.b is not None
               and not pair.is_moved]  # fmt: skip
    assert staying == sorted(one for one in staying if one is not None)
    for n_bands in (1, 3):
        bands = found.bands(n_bands)
        assert sum(n for *_, n in bands) == len(found.pairs)
        assert {kind for kind, *_ in bands} <= set(KINDS)
    assert found.summary().endswith(".")
    same = match(a, a)
    assert not same.counts()["moved"]
    assert same.summary().startswith("The same collection")


@given(st.text("ACGTNRYKX*-", max_size=700), st.booleans())
@settings(max_examples=100, deadline=None)
def test_letters_are_counted_and_parts_are_those_of_the_whole(text: str, is_long: bool) -> None:
    residues = text * (9 if is_long else 1)
    found = composition(lambda start, end: residues[start:end], len(residues))
    assert {one["letter"]: one["count"] for one in found["letters"]} == Counter(residues)
    n_strong = sum(map(residues.count, "CGS"))
    n_weak = sum(map(residues.count, "ATUW"))
    is_nucleic = bool(residues) and not {"X", "*"} & set(residues)
    assert found["is_nucleic"] is is_nucleic
    if is_nucleic and n_strong + n_weak:
        assert found["gc"] == pytest.approx(n_strong / (n_strong + n_weak))
    else:
        assert found["gc"] is None
    assert len(found["profile"]) == len(found["known"]) <= 256
