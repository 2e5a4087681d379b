"""The page on tracks, in a real browser: pictures of windows, what is in them, and its origin."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers import write_fasta
from playwright.sync_api import Page, expect
from servers import running
from test_page import _CHECK, Opener, browser, contexts, opened, rows, visit  # noqa: F401

import seqarchive
from seqarchive.instances import Instance
from seqarchive.server import create_app
from seqarchive.snapshots import take_snapshot
from seqarchive.tracks import Intervals, IntervalTrack
from seqarchive.tracks.operations import registry
from seqarchive.tracks.operations.registry import OPERATIONS, Parameter, operation
from seqarchive.writing import initialise

_RANDOM = random.Random(5)
_TOY = {
    name: "".join(_RANDOM.choices("ACGT", k=n)) for name, n in (("I", 40_000), ("II", 6_000))
}
_HOSTILE = "<img src=x onerror=alert(1)>"

#: Few enough of II to be drawn one by one, and too many of I.
_GENES: list[dict[str, Any]] = [
    {"chrom": "I", "start": at, "end": at + 150, "strand": "+-."[n % 3], "score": n / 4,
     "name": f"gene{n}", "tags": {}}
    for n, at in enumerate(range(100, 39_000, 90))
] + [
    {"chrom": "II", "start": 500, "end": 2_500, "strand": "+", "score": 7.5, "name": _HOSTILE,
     "tags": {"note": "<b>x</b>"}},
    {"chrom": "II", "start": 2_000, "end": 3_000, "strand": "-", "score": None, "name": "second",
     "tags": {}},
]  # fmt: skip
_STEPS: list[dict[str, Any]] = [
    {"chrom": "I", "start": at, "end": at + 10, "value": (at % 700) / 100 - 2}
    for at in range(0, 30_000, 20)
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tracks-page")
    root = directory / "root"
    initialise(Instance(root))
    with seqarchive.connect(root) as archive:
        file = write_fasta(directory / "toy.fa", _TOY)
        archive.load(file, "toy", threads=0, collection="refgenie:toy")
    return root


def _longer(track: IntervalTrack, by: int) -> IntervalTrack:
    return IntervalTrack.of(
        "longer",
        {
            chrom: Intervals.of(track.columns(chrom).starts, track.columns(chrom).ends + by)
            for chrom in track.chroms
        },
    )


@pytest.fixture(scope="module")
def url(root: Path) -> Iterator[str]:
    before = dict(OPERATIONS)
    operation(
        "test.longer", "Longer", inputs=[registry.track("track", "of", "interval")],
        params=[Parameter("by", registry.INTEGER, "residues", 1)], version="3",
    )(_longer)  # fmt: skip
    with seqarchive.connect(root) as archive, running(create_app(archive, root=root)) as address:
        yield f"{address}/"
    OPERATIONS.clear()
    OPERATIONS.update(before)


def put(url: str, **document: Any) -> str:
    answer = requests.post(f"{url}api/tracks", json={"genome": "toy", **document}, timeout=20)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    return found


@pytest.fixture(scope="module")
def ids(url: str) -> dict[str, str]:
    """Tracks of all types, by their names."""
    found = {
        "genes": put(url, name="genes", regions=_GENES),
        "signal": put(url, name=_HOSTILE, steps=_STEPS),
        "table": put(url, name="levels", values={f"gene{n:02}": n / 8 for n in range(75)}),
        "empty": put(url, name="nothing", regions=[]),
    }
    answer = requests.post(
        f"{url}api/methods/test.longer?wait=20", json={"track": found["genes"], "by": 5}, timeout=30
    )
    found["longer"] = answer.json()["track_id"]
    return found


def settled(page: Page) -> None:
    """Wait until what is shown is what was asked for."""
    page.wait_for_function("() => !document.querySelector('[aria-busy]')")


def shown(page: Page) -> tuple[str, int, int]:
    """The window of the picture; the address and the picture say the same."""
    settled(page)
    region = page.get_by_label("Region", exact=True).input_value()
    match = re.fullmatch(r"(.+):(\d+)-(\d+)", region)
    assert match is not None
    chrom, start, end = match[1], int(match[2]), int(match[3])
    assert page.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('region')") == region
    label = page.locator(".window-picture").get_attribute("aria-label") or ""
    assert label.endswith(f"{chrom}:{start:,}-{end:,}")
    return chrom, start, end


def numbers(page: Page, path: str) -> list[tuple[float, float]]:
    """The corners of a path."""
    text = page.locator(path).first.get_attribute("d") or ""
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([-\d.e]+) ([-\d.e]+)", text)]


def test_tracks_are_found_from_everywhere(
    opened: Opener, url: str, ids: dict[str, str]  # noqa: F811
) -> None:
    page = opened()
    page.get_by_role("link", name="Tracks", exact=True).click()
    expect(page.locator("h1")).to_have_text("Tracks")
    found = {row[0]: row for row in rows(page, "Tracks")}
    assert {"genes", _HOSTILE, "levels", "nothing"} <= set(found)
    assert found["genes"][1:4] == ["interval", "toy", f"{len(_GENES)}"]
    assert found["test.longer of genes"][-1] == "test.longer(by=5)"
    page.get_by_role("link", name="toy").first.click()
    expect(page.locator("h1")).to_have_text("refgenie:toy")
    page.locator(".card", has_text="levels").click()
    expect(page.locator("h1")).to_have_text("levels")
    page.get_by_role("link", name="Tracks over this genome").click()
    expect(page.locator("h1")).to_have_text("Tracks over a genome")
    assert len(rows(page, "Tracks")) == len(ids)
    assert page.locator("header nav [aria-current]").inner_text() == "Tracks"
    page = opened("#/track/nosuch", allowed="404")
    assert "nosuch" in page.get_by_role("alert").inner_text()


def test_a_genome_is_called_by_its_names(
    opened: Opener, tmp_path: Path  # noqa: F811
) -> None:
    root = tmp_path / "root"
    initialise(Instance(root))
    file = write_fasta(tmp_path / "toy.fa", _TOY)
    with seqarchive.connect(root) as archive:
        digest = archive.load(file, "toy", threads=0).files[0]["collection"]
        with running(create_app(archive, root=root)) as address:
            answer = requests.post(
                f"{address}/api/tracks", timeout=20,
                json={"genome": digest, "name": "t", "regions": _GENES[:3]},
            )  # fmt: skip
            assert answer.json()["genome"] == digest
            for name in ("lab:zed", "lab:alpha"):
                assert seqarchive.commands.run(
                    ["-q", "--root", str(root), "collection", "name", digest, name]
                ) == 0  # fmt: skip
            base = f"{address}/"
            page = opened(f"#/track/{answer.json()['id']}", base=base)
            expect(page.locator(".facts").first).to_contain_text("lab:alpha")
            assert digest not in page.locator(".facts").first.inner_text()
            assert rows(opened("#/tracks", base=base), "Tracks")[0][2] == "lab:alpha"
            for asked, title in (
                ("lab:zed", "lab:zed"), ("LAB:zed", "lab:zed"), ("zed", "lab:zed"),
                ("lab:alpha", "lab:alpha"), (digest, "lab:alpha"),
            ):  # fmt: skip
                page = opened(f"#/collection/{asked}", base=base)
                expect(page.locator("h1")).to_have_text(title)
                assert f"--collection {title}" in page.locator(".commands").inner_text()


def test_few_intervals_are_drawn_one_by_one(
    opened: Opener, url: str, ids: dict[str, str]  # noqa: F811
) -> None:
    page = opened(f"#/track/{ids['genes']}?region=II:0-6000")
    assert shown(page) == ("II", 0, 6_000)
    boxes = page.locator(".interval")
    assert boxes.count() == 2
    titles = boxes.locator("title").all_text_contents()
    assert titles[0] == f"{_HOSTILE}, II:500-2,500, strand +, score 7.5"
    left, right = (boxes.nth(n).bounding_box() for n in range(2))
    picture = page.locator(".window-picture").bounding_box()
    assert left is not None
    assert right is not None
    assert picture is not None
    scale = picture["width"] / 6_000
    assert abs(left["x"] - picture["x"] - 500 * scale) < 3
    assert abs(left["width"] - 2_000 * scale) < 5  # and what is drawn around it
    assert right["y"] > left["y"] + left["height"]  # they overlap, and lie in two rows
    assert rows(page, "Entries in the window") == [
        ["500", "2,500", "7.5", "+", _HOSTILE, "note=<b>x</b>"],
        ["2,000", "3,000", "", "−", "second", ""],
    ]
    page.get_by_label("Chromosome").select_option("I")
    assert shown(page) == ("I", 0, 40_000)
    assert page.locator(".interval").count() == 0  # they are too many
    assert page.locator(".area").count() >= 1
    expect(page.locator(".pager")).to_contain_text(f"of {len(_GENES) - 2}")


def test_a_signal_is_drawn_as_it_is(
    opened: Opener, url: str, ids: dict[str, str]  # noqa: F811
) -> None:
    page = opened(f"#/track/{ids['signal']}?region=I:0-400")
    assert shown(page) == ("I", 0, 400)
    # Every other ten residues have a value: as many pieces as steps.
    assert page.locator(".mean").count() == page.locator(".area").count() == 20
    first = numbers(page, ".mean")
    across = first[-1][0]
    assert across == pytest.approx(960 * 10 / 400, abs=3)
    labels = page.locator(".scale").all_text_contents()
    values = [one["value"] for one in _STEPS[:20]]
    assert labels == [f"{max(values):.2f}".rstrip("0").rstrip("."), f"{min(values):g}"]
    found = rows(page, "Entries in the window")
    assert found[0] == ["0", "10", "-2"]
    assert found[1] == ["20", "30", "-1.8"]
    assert page.locator("h1").inner_text() == _HOSTILE
    assert page.locator("main img[onerror]").count() == 0
    page.get_by_role("button", name="All of it").click()
    assert shown(page) == ("I", 0, 40_000)
    assert page.locator(".band").count() >= 1


def test_a_window_moves_and_zooms(
    opened: Opener, url: str, ids: dict[str, str]  # noqa: F811
) -> None:
    page = opened(f"#/track/{ids['genes']}?region=I:10000-12000", allowed="Failed to load")
    for name, wanted in (
        ("Zoom in", (10_750, 11_250)), ("Right", (11_000, 11_500)), ("Left", (10_750, 11_250)),
        ("Zoom out", (10_000, 12_000)), ("All of it", (0, 40_000)),
    ):  # fmt: skip
        page.get_by_role("button", name=name).click()
        assert shown(page)[1:] == wanted
    assert page.get_by_role("button", name="Zoom out").is_disabled()
    field = page.get_by_label("Region", exact=True)
    field.fill("chrII:1,000-2,000")  # by another name
    page.keyboard.press("Enter")
    page.wait_for_function("() => location.hash.endsWith('2000')")
    assert shown(page) == ("II", 1_000, 2_000)
    for wrong in ("II:5-99999", "nosuch", "II:9-1"):
        field.fill(wrong)
        page.keyboard.press("Enter")
        expect(page.locator(".window [role=alert]")).to_be_visible()
        assert field.get_attribute("aria-invalid") == "true"
    field.fill("II")
    page.keyboard.press("Enter")
    expect(page.locator(".window [role=alert]")).to_be_hidden()
    assert shown(page) == ("II", 0, 6_000)


def test_a_window_moves_by_keyboard(
    opened: Opener, url: str, ids: dict[str, str]  # noqa: F811
) -> None:
    page = opened(f"#/track/{ids['signal']}?region=I:10000-12000")
    for _ in range(30):
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        if page.evaluate("document.activeElement.className") == "view":
            break
    for key, wanted in (
        ("ArrowRight", (10_500, 12_500)), ("ArrowLeft", (10_000, 12_000)),
        ("PageDown", (12_000, 14_000)), ("PageUp", (10_000, 12_000)), ("+", (10_500, 11_500)),
        ("-", (10_000, 12_000)), ("End", (38_000, 40_000)), ("Home", (0, 2_000)),
        ("ArrowLeft", (0, 2_000)),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert shown(page)[1:] == wanted, key
    for _ in range(12):
        page.keyboard.press("+")
    assert shown(page)[2] - shown(page)[1] == 20


def test_where_a_track_came_from(
    opened: Opener, url: str, ids: dict[str, str]  # noqa: F811
) -> None:
    page = opened(f"#/track/{ids['longer']}")
    assert "test.longer(by=5)" in page.locator(".facts").nth(1).inner_text()
    assert "3" in page.locator(".facts").nth(1).inner_text()
    picture = page.locator(".origin img")
    picture.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('.origin img').naturalWidth > 100")
    assert "the list below says the same" in (picture.get_attribute("alt") or "")
    tree = page.locator(".lineage")
    assert "test.longer, version 3" in tree.inner_text()
    tree.get_by_role("link", name="genes", exact=True).click()
    expect(page.locator("h1")).to_have_text("genes")
    expect(page.locator(".origin")).to_contain_text("Computed from it: test.longer of genes")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download: BED, bgzipped").click()
    assert download.value.suggested_filename == "genes.bed.gz"


def test_tables_and_what_is_empty(
    opened: Opener, url: str, ids: dict[str, str]  # noqa: F811
) -> None:
    page = opened(f"#/track/{ids['table']}")
    found = rows(page, "Entries of the table")
    assert found[:2] == [["gene00", "0"], ["gene01", "0.125"]]
    page.locator(".pager").get_by_role("button", name="Last").click()
    expect(page.locator(".pager")).to_contain_text("61–75 of 75")
    assert rows(page, "Entries of the table")[-1] == ["gene74", "9.25"]
    assert page.locator(".window-picture").count() == 0
    page = opened(f"#/track/{ids['empty']}")
    assert shown(page) == ("I", 0, 40_000)
    assert rows(page, "Entries in the window") == [["Nothing lies in this window."]]


def test_a_region_that_is_none_is_told(
    opened: Opener, url: str, ids: dict[str, str]  # noqa: F811
) -> None:
    page = opened(f"#/track/{ids['genes']}?region=nosuch:1-2", allowed="404")
    assert shown(page) == ("I", 0, 40_000)
    assert "nosuch" in page.locator(".window [role=alert]").inner_text()


_VIEWS = ("#/tracks", "#/tracks?genome=toy", "#/collection/refgenie:toy")


def views(ids: dict[str, str]) -> list[str]:
    some = [f"#/track/{ids[name]}" for name in ("genes", "signal", "table", "empty", "longer")]
    return [*_VIEWS, *some, f"#/track/{ids['genes']}?region=II:0-6000"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_by_everybody(
    opened: Opener, url: str, ids: dict[str, str], scheme: str  # noqa: F811
) -> None:
    page = opened(color_scheme=scheme)
    for view in views(ids):
        visit(page, url + view)
        settled(page)
        assert page.evaluate(_CHECK) == [], view


def test_a_phone_needs_no_scrolling_sideways(
    opened: Opener, url: str, ids: dict[str, str]  # noqa: F811
) -> None:
    page = opened(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    for view in views(ids):
        visit(page, url + view)
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, view


def test_a_release_shows_its_tracks(
    opened: Opener, url: str, root: Path, ids: dict[str, str]  # noqa: F811
) -> None:
    take_snapshot(Instance(root), "r1")
    page = opened(f"#/track/{ids['genes']}?region=II:0-6000", base=f"{url}releases/r1/")
    assert shown(page) == ("II", 0, 6_000)
    assert page.locator(".interval").count() == 2
    assert f"{url}releases/r1/api/tracks/" in page.locator(".commands").inner_text()
