"""The page, in a real browser: what a person sees, with a mouse, with the keyboard, on a phone."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from fastapi import FastAPI
from helpers import sha512t24u, write_fasta
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from servers import running
from starlette.routing import Mount

import seqarchive
from seqarchive.alias_tables import retire_aliases
from seqarchive.identifiers import parse_alias
from seqarchive.instances import Instance
from seqarchive.rgstore.exporting import export_rgstore
from seqarchive.seqcol.naming import set_fhr
from seqarchive.server import create_app
from seqarchive.snapshots import take_snapshot
from seqarchive.writing import initialise

_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

#: Names that would be markup, code or a command, if they were not text.
_HOSTILE = {
    "<img/src=x/onerror=alert(1)>": "ACGTACGTTT",
    "</code><script>alert(2)</script>": "ACGTAA",
    "$(touch${IFS}x)'\";&amp;": "GGGCCC",
    "javascript:alert(3)": "TTTTTT",
}

_RANDOM = random.Random(7)


def _residues(length: int) -> str:
    return "".join(_RANDOM.choices("ACGT", k=length))


_LONG = _residues(150_000) + "N" * 20_000 + _residues(130_000)
_CIRCLE = _residues(500)
_CHROMOSOMES = {f"chr{n}": _residues(400 + 10 * n) for n in range(1, 7)}
_MANY = {f"ENST{n:05}": _residues(24) for n in range(1_200)}


def sq(residues: str) -> str:
    return f"SQ.{sha512t24u(residues)}"


def md5(residues: str) -> str:
    return hashlib.md5(residues.encode("ascii")).hexdigest()


def _assemblies() -> dict[str, dict[str, str]]:
    """Collections that are related to the first one in all ways."""
    base = dict(_CHROMOSOMES)
    names = list(base)
    masked, cut = "N" * 40 + base["chr2"][40:], base["chr3"][:-9]
    other = {**base, "chr2": masked, "chr3": cut, "new": "ACG" * 9}
    del other["chr6"]
    other["chr4"], other["chr5"] = base["chr5"], base["chr4"]
    many = list(_MANY.items())
    return {
        "base": base,
        "moved": {name: base[name] for name in ["chr6", *names[:5]]},
        "renamed": {name.removeprefix("chr"): base[name] for name in reversed(names)},
        "part": {name: base[name] for name in names[:4]},
        "changed": other,
        "apart": {"x": "GATTACA", "y": "TTTTAAAA"},
        "very-" * 11: {"z" * 70: "GATTA"},
        "many": dict(many),
        "many2": dict([*many[600:], *((f"{name}.2", text) for name, text in many[:600])]),
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("page")
    root = directory / "root"
    instance = Instance(root)
    initialise(instance)
    with seqarchive.connect(root) as archive:
        archive.load(write_fasta(directory / "long.fa", {"long": _LONG}), "big", threads=0)
        archive["lab:best"] = _CHROMOSOMES["chr1"]
        archive["lab:gone"] = _CIRCLE
        archive["lab:empty"], archive["lab:five"] = "", "ACGTN"
        archive["a:twice"], archive["b:twice"] = "AAAA", "CCCC"
        for name, records in _assemblies().items():
            file = write_fasta(directory / f"{name}.fa", records)
            archive.load(file, f"set-{name}", threads=0, collection=f"assembly:{name}")
        circle = write_fasta(directory / "circle.fa", {"plasmid": _CIRCLE})
        archive.load(circle, "lab", threads=0, circular=frozenset({"plasmid"}))
        take_snapshot(instance, "r1")
        archive.store(_CHROMOSOMES["chr2"], ["lab:best"], on_conflict="replace")
        file = write_fasta(directory / "hostile.fa", _HOSTILE)
        archive.load(file, "evil", threads=0, collection="evil:<b>bold</b>")
        retire_aliases(instance, [parse_alias("lab:gone")])
        said = {
            "genome": "Testus <i>testus</i>", "version": "1.0",
            "relatedLink": ["javascript:alert(4)", "https://example.org/a"],
            "taxon": {"name": "Testus", "uri": "https://identifiers.org/taxonomy:4932"},
        }  # fmt: skip
        set_fhr(instance, "assembly:base", said)
        take_snapshot(instance, "r2")
        archive["lab:late"] = "GATTACAGATTACA"
    return root


@pytest.fixture(scope="module")
def url(root: Path) -> Iterator[str]:
    with seqarchive.connect(root) as archive, running(create_app(archive, root=root)) as address:
        yield f"{address}/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(path for name in names if (path := shutil.which(name)) is not None)
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def contexts(browser: Browser) -> dict[str, BrowserContext]:
    """Those that are open, by their options: windows of one share what they fetched."""
    return {}


Opener = Callable[..., Page]


@pytest.fixture
def opened(
    browser: Browser, contexts: dict[str, BrowserContext], url: str
) -> Iterator[Opener]:
    """Opens views in new windows; in the end, nothing may have happened that should not."""
    complaints: list[str] = []
    pages = []

    def open_(
        fragment: str = "", base: str = url, *, allowed: str = "", **options: Any
    ) -> Page:
        key = repr(sorted(options.items()))
        if key not in contexts:
            contexts[key] = browser.new_context(reduced_motion="reduce", **options)
        page = contexts[key].new_page()
        pages.append(page)
        page.set_default_timeout(60_000)
        host = urlsplit(base).netloc

        def hear(message: Any) -> None:
            if message.type in ("error", "warning") and not (allowed and allowed in message.text):
                complaints.append(f"{fragment}: {message.text}")

        def see(request: Any) -> None:
            if urlsplit(request.url).netloc != host and not request.url.startswith("data:"):
                complaints.append(f"{fragment}: asked {request.url}")

        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(f"{fragment}: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"{fragment}: {dialog.message}"))
        page.on("request", see)
        visit(page, f"{base}{fragment}")
        return page

    yield open_
    for page in pages:
        page.close()
    assert complaints == []


def visit(page: Page, address: str) -> None:
    """Go somewhere, and wait until all of it is there."""
    page.goto(address)
    page.wait_for_selector("main:not([aria-busy]) h1")
    page.wait_for_function(
        "() => !document.querySelector('[aria-busy]') && (location.hash.includes('search')"
        " || document.getElementById('main').dataset.place === location.hash)"
    )


def hear_copies(page: Page) -> None:
    """Have ``copied`` list what goes to the clipboard."""
    page.evaluate(
        "() => { window.copied = [];"
        " navigator.clipboard.writeText = async (text) => { copied.push(text); }; }"
    )


def rows(page: Page, caption: str) -> list[list[str]]:
    """The cells of a table, when it is there."""
    table = page.locator("table", has=page.locator("caption", has_text=caption))
    table.locator("tbody tr").first.wait_for()
    found: list[list[str]] = table.evaluate(
        "table => [...table.tBodies[0].rows].map(row => [...row.cells].map(one => one.innerText))"
    )
    return found


def residues(page: Page) -> tuple[int, int, str]:
    """What the window shows: its bounds and its residues, when all of them are there."""
    window = page.locator(".residues")
    window.locator(".row").first.wait_for()
    page.wait_for_function(
        "() => { const w = document.querySelector('.residues');"
        " return !w.textContent.includes('·') && !w.hasAttribute('aria-busy'); }"
    )
    bounds = [int(window.get_attribute(f"data-{end}") or "") for end in ("start", "end")]
    letters = "".join(window.locator(".letters").all_text_contents())
    return bounds[0], bounds[1], letters


def shows(page: Page, sequence: str) -> tuple[int, int]:
    """Compares what the window shows with the sequence; its bounds."""
    start, end, letters = residues(page)
    assert letters == sequence[start:end]
    rulers = page.locator(".ruler").all_text_contents()
    assert rulers[0] == f"{start:,}"
    return start, end


# --- searching ----------------------------------------------------------------------------------


def test_the_first_view_says_what_is_served(opened: Opener, root: Path) -> None:
    page = opened()
    facts = page.locator(".facts").inner_text()
    with seqarchive.connect(root) as archive:
        assert f"{len(archive):,}" in facts
    assert "evil:<b>bold</b>" in page.locator(".cards").inner_text()
    assert page.title() == "seqarchive"
    page.get_by_role("link", name="Collections", exact=True).click()
    assert len(rows(page, "Collections")) == 12


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("set-base:chr3", "set-base:chr3"), ("plasmid", "plasmid"),
        (sq(_LONG), "big:long"), (f"ga4gh:{sq(_LONG)}", "big:long"), (md5(_LONG), "big:long"),
        (f"  {sq(_LONG)[:14]}…  ", None), ("assembly:base", "assembly:base"), ("late", "late"),
    ],
)  # fmt: skip
def test_names_and_digests_are_found(opened: Opener, text: str, title: str | None) -> None:
    page = opened()
    page.get_by_label("Search by name or digest").fill(text)
    page.keyboard.press("Enter")
    if title is None:  # the beginning of a digest
        page.locator(".results a").click()
        title = "big:long"
    expect(page.locator("h1")).to_have_text(title)
    assert title in page.title()


def test_what_is_ambiguous_or_not_there_is_said(opened: Opener) -> None:
    page = opened("#/search?q=twice")
    assert "2 things" in page.locator(".lead").inner_text()
    page.get_by_role("link", name=re.compile("b:twice")).click()
    expect(page.locator("h1")).to_have_text("b:twice")
    assert residues(page)[2] == "CCCC"
    page = opened("#/search?q=ENST00009.7")
    assert "near it" in page.locator(".lead").inner_text()
    assert "set-many:ENST00009" in page.locator(".results").inner_text()
    page = opened("#/search?q=%3Cu%3Ezebra")
    assert "Nothing is called “<u>zebra”" in page.locator(".lead").inner_text()
    page = opened("#/search?q=LONG:1,000-1,050")
    assert "range 1,000–1,050" in page.locator(".results").inner_text()
    page = opened("#/sequence/nosuch", allowed="404")
    assert "'nosuch' is not in the archive" in page.get_by_role("alert").inner_text()
    assert "search for the beginning" in page.locator("main").inner_text()
    page = opened("#/whatever/else")
    assert page.locator("h1").inner_text() == "No such page"


# --- a sequence ---------------------------------------------------------------------------------


def test_a_name_that_moved_tells_what_it_meant(opened: Opener) -> None:
    page = opened("#/sequence/lab:best")
    meant = page.locator(".meanings li")
    expect(meant).to_have_count(2)
    assert "meant" in meant.nth(0).inner_text()
    assert "410 residues" in meant.nth(0).inner_text()
    assert "this sequence" in meant.nth(1).inner_text()
    names = {row[0]: row[2] for row in rows(page, "Names of this sequence")}
    assert names["lab:best"] == "now"
    meant.nth(0).get_by_role("link").click()
    expect(page.locator(".facts").first).to_contain_text("410 residues")
    names = {row[0]: row[2] for row in rows(page, "Names of this sequence")}
    assert "now means" in names["lab:best"]
    assert names["set-base:chr1"] == "now"
    page = opened("#/search?q=lab:gone")
    page.locator(".results a").click()
    expect(page.locator(".lead")).to_contain_text("means nothing any more")
    page = opened("#/sequence/set-base:chr1")
    assert "base.fa" in page.locator(".records").inner_text()


def test_the_window_goes_everywhere(opened: Opener) -> None:
    page = opened("#/sequence/big:long")
    start, end = shows(page, _LONG)
    assert start == 0
    window = page.locator(".residues")
    window.focus()
    page.keyboard.press("PageDown")
    assert shows(page, _LONG) == (end, 2 * end)
    page.keyboard.press("ArrowDown")
    row = shows(page, _LONG)[0] - end
    assert row % 10 == 0
    page.keyboard.press("End")
    assert shows(page, _LONG)[1] == len(_LONG)
    assert page.get_by_role("button", name="Next").first.is_disabled()
    page.keyboard.press("Home")
    assert shows(page, _LONG)[0] == 0
    page.get_by_role("button", name="Next").first.click()
    assert shows(page, _LONG)[0] == end
    page.mouse.move(300, window.bounding_box()["y"] + 50)  # type: ignore[index]
    window.focus()
    page.mouse.wheel(0, 400)
    page.wait_for_function(f"document.querySelector('.residues').dataset.start > {end}")
    shows(page, _LONG)


def test_the_bar_is_the_whole_sequence(opened: Opener) -> None:
    page = opened("#/sequence/big:long")
    shows(page, _LONG)
    bar = page.get_by_role("slider")
    box = bar.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 5)
    start, end = shows(page, _LONG)
    assert abs((start + end) / 2 - len(_LONG) / 2) < 1_000
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 5)
    page.mouse.down()
    for part in (0.6, 0.7, 0.9):
        page.mouse.move(box["x"] + part * box["width"], box["y"] + 5)
    page.mouse.up()
    start, _ = shows(page, _LONG)
    assert abs(start - 0.9 * len(_LONG)) < 2_000
    bar.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert 2_900 <= shows(page, _LONG)[0] <= 3_000
    assert bar.get_attribute("aria-valuemax") == str(len(_LONG))
    expect(page.locator(".composition")).to_be_visible()  # then the bar has a profile
    assert page.locator(".overview .gc").count() > 200
    assert page.locator(".overview .gap").count() > 5


def test_going_to_a_range(opened: Opener, url: str) -> None:
    page = opened("#/sequence/big:long")
    field = page.get_by_label("Go to")
    field.fill("123,456-123,500")
    page.keyboard.press("Enter")
    start, end = shows(page, _LONG)
    assert start <= 123_456 < end
    assert "".join(page.locator("mark").all_text_contents()) == _LONG[123_456:123_500]
    assert page.url.endswith("range=123456-123500")
    expect(page.locator(".commands")).to_contain_text("seqarchive get big:long:123456-123500")
    address = page.locator(".commands code").first.inner_text()
    assert requests.get(address, timeout=30).text == _LONG[123_456:123_500]
    page.get_by_label("Go to").fill("5000")
    page.get_by_role("button", name="Go", exact=True).click()
    assert shows(page, _LONG)[0] <= 5_000
    for wrong in ("abc", "900000", "20-10", "1-2-3"):
        field.fill(wrong)
        page.keyboard.press("Enter")
        assert wrong in page.locator(".window [role=alert]:not([hidden])").inner_text()
    page = opened("#/sequence/big:long?range=200000-200010")
    assert "".join(page.locator("mark").all_text_contents()) in (_LONG[200_000:200_010], "·" * 10)
    shows(page, _LONG)
    page = opened("#/sequence/big:long?range=9-1")
    assert "no range “9-1”" in page.get_by_role("alert").first.inner_text()


def test_circles_short_ones_and_empty_ones(opened: Opener) -> None:
    page = opened("#/sequence/lab:plasmid?range=490-20")
    shows(page, _CIRCLE)
    assert "circular" in page.locator(".where").inner_text()
    assert sum(map(len, page.locator("mark").all_text_contents())) == 30
    hear_copies(page)
    page.locator(".range").get_by_role("button").click()
    page.wait_for_function("() => copied.length === 1")
    assert page.evaluate("copied[0]") == _CIRCLE[490:] + _CIRCLE[:20]
    page = opened("#/sequence/lab:five")
    assert residues(page)[2] == "ACGTN"
    page.get_by_label("Colours").check()
    assert page.locator(".letter-G").inner_text() == "G"
    page = opened("#/sequence/lab:empty")
    assert "has no residues" in page.locator("main").inner_text()


def test_the_composition_is_counted(opened: Opener) -> None:
    page = opened("#/sequence/big:long")
    expect(page.locator(".composition")).to_be_visible()
    found = {row[0]: row[1] for row in rows(page, "How often")}
    assert found == {letter: f"{_LONG.count(letter):,}" for letter in "ACGTN"}


def test_addresses_and_commands_are_copied(opened: Opener, url: str) -> None:
    page = opened("#/sequence/set-base:chr1")
    hear_copies(page)
    for button in page.get_by_role("button", name=re.compile("^Copy ")).all():
        if button.is_visible():
            button.click()
    page.wait_for_function("() => copied.length >= 8")
    copied = page.evaluate("copied")
    digest = sq(_CHROMOSOMES["chr1"])
    assert {digest, f"ga4gh:{digest}"} & set(copied)
    assert f"{url}sequence/{digest}" in copied
    assert "seqarchive get set-base:chr1" in copied
    assert f"export REF_PATH='{url}md5/%s'" in copied
    # Without a clipboard, as over plain http from another machine.
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.evaluate(
        "document.execCommand = () => { copied.push(document.activeElement.value); return true; }"
    )
    page.get_by_role("button", name="Copy MD5").click()
    page.wait_for_function("() => document.getElementById('said').textContent === 'Copied: MD5'")
    assert page.evaluate("copied.at(-1)") == md5(_CHROMOSOMES["chr1"])


# --- collections --------------------------------------------------------------------------------


def test_a_collection_with_what_is_said_of_it(opened: Opener) -> None:
    page = opened("#/collection/assembly:base")
    found = rows(page, "Sequences of the collection")
    assert [row[1] for row in found] == list(_CHROMOSOMES)
    assert [row[2] for row in found] == [str(len(one)) for one in _CHROMOSOMES.values()]
    said = page.locator(".fhr").inner_text()
    assert "Testus <i>testus</i>" in said
    assert "javascript:alert(4)" in said
    links = page.locator(".fhr a").all()
    assert {link.get_attribute("href") for link in links} == {
        "https://example.org/a", "https://identifiers.org/taxonomy:4932"
    }  # fmt: skip
    assert "base.fa" in page.locator(".records").inner_text()
    assert "seqarchive export --collection assembly:base" in page.locator(".commands").inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as FASTA").click()
    assert Path(download.value.path()).read_text().startswith(">chr1\n")
    page.get_by_role("link", name="chr2").click()
    shows(page, _CHROMOSOMES["chr2"])


def test_a_long_collection_comes_in_pages(opened: Opener) -> None:
    page = opened("#/collection/assembly:many")
    assert len(rows(page, "Sequences of the collection")) == 50
    pager = page.locator(".pager")
    expect(pager).to_contain_text("1–50 of 1,200")
    pager.get_by_role("button", name="Last").click()
    expect(pager).to_contain_text("1,151–1,200 of 1,200")
    assert rows(page, "Sequences of the collection")[-1][1] == "ENST01199"
    page.get_by_label("Only names with").fill("enst0077")
    expect(pager).to_contain_text("1–10 of 10")
    assert rows(page, "Sequences of the collection")[0][1] == "ENST00770"


# --- comparisons --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "summary", "counts"),
    [
        ("base", "The same collection: 6 sequences under the same names, in the same order.",
         {"All": 6, "Same name and sequence": 6}),
        ("moved", "The same 6 sequences under the same names, in another order.",
         {"All": 6, "Same name and sequence": 6, "Moved": 1}),
        ("renamed", "The same 6 sequences under other names, in another order.",
         {"All": 6, "Same sequence, other name": 6, "Moved": 5}),
        ("part", "B is a part of A: its 4 sequences are in A too, under the same names; "
         "A has 2 more.", {"All": 6, "Same name and sequence": 4, "Only in A": 2}),
        ("changed", "3 sequences in both, 2 of them under other names, in another order; 3 of A "
         "are not in B, 3 of B are not in A. 1 has the same name and length in both but other "
         "residues, as after masking with N or a correction. Beware: 3 names stand for another "
         "sequence in B than in A.",
         {"All": 7, "Same name and sequence": 1, "Same sequence, other name": 2,
          "Same name and length, other residues": 1, "Same name, other sequence": 1,
          "Only in A": 1, "Only in B": 1, "Moved": 1}),
        ("apart", "No sequence in common: A has 6, B has 2.",
         {"All": 8, "Only in A": 6, "Only in B": 2}),
    ],
)  # fmt: skip
def test_a_comparison_is_a_sentence_a_picture_and_a_table(
    opened: Opener, other: str, summary: str, counts: dict[str, int]
) -> None:
    page = opened(f"#/compare/assembly:base/assembly:{other}")
    assert page.locator(".verdict").inner_text() == summary
    filters = page.locator(".filters button")
    shown = [" ".join(text.split()) for text in filters.all_inner_texts()]
    assert shown == [f"{name} {n}" for name, n in counts.items()]
    picture = page.get_by_role("img", name=re.compile("A picture of"))
    n_pairs = counts["All"] - counts.get("Only in A", 0) - counts.get("Only in B", 0)
    assert picture.locator(".ribbon").count() == n_pairs
    for name, n in counts.items():
        button = filters.filter(has_text=re.compile(f"^{re.escape(name)} \\d"))
        button.click()
        expect(page.locator("main table tbody tr")).to_have_count(n)
        assert button.get_attribute("aria-pressed") == "true"


def test_large_collections_are_drawn_in_bands(opened: Opener) -> None:
    page = opened("#/compare/assembly:many/assembly:many2")
    assert "600 of them under other names" in page.locator(".verdict").inner_text()
    n_ribbons = page.locator(".picture .ribbon").count()
    assert 50 <= n_ribbons <= 200
    assert len(rows(page, "Members of both")) == 50
    page.locator(".filters").get_by_role("button", name=re.compile("other name")).click()
    expect(page.locator(".pager")).to_contain_text("1–50 of 600")
    assert page.evaluate("document.querySelectorAll('*').length") < 2_000


def test_two_collections_are_chosen(opened: Opener) -> None:
    page = opened("#/collection/assembly:base")
    page.get_by_role("link", name="Compare with another").click()
    expect(page.get_by_label("Collection A")).not_to_have_value("")
    page.get_by_label("Collection B").select_option(label="assembly:moved, 6 sequences")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".verdict")).to_contain_text("in another order")
    page.get_by_role("link", name="The other way round").click()
    expect(page.locator("h1")).to_have_text("assembly:moved and assembly:base")


# --- releases -----------------------------------------------------------------------------------


def test_releases_and_what_changed(opened: Opener) -> None:
    page = opened("#/releases")
    assert [row[0].split()[0] for row in rows(page, "Releases")] == ["r2", "r1"]
    assert "From r2 to now: 1 sequence added, 1 name added" in page.locator(".verdict").inner_text()
    page.get_by_role("link", name="since r1").click()
    expect(page.locator("h1")).to_have_text("From r1 to r2")
    assert "1 name moved" in page.locator(".verdict").inner_text()
    assert "1 name retired" in page.locator(".verdict").inner_text()
    page.get_by_role("button", name=re.compile("Alias moved")).click()
    expect(page.locator("table", has_text="Change").last.locator("tbody tr")).to_have_count(1)
    (row,) = rows(page, "Changes from r1 to r2")
    assert row[1] == "lab:best"
    page.get_by_label("From", exact=True).select_option("r2")
    page.get_by_label("To", exact=True).select_option("r2")
    page.get_by_role("button", name="What changed", exact=True).click()
    expect(page.locator(".verdict")).to_have_text("Nothing changed from r2 to r2.")


def test_a_release_has_a_page_of_its_own(opened: Opener, url: str) -> None:
    page = opened(base=f"{url}releases/r1/")
    assert "Release r1" in page.locator("#release").inner_text()
    assert not page.locator("#to-releases").is_visible()
    page.get_by_label("Search by name or digest").fill("lab:best")
    page.keyboard.press("Enter")
    expect(page.locator(".facts").first).to_contain_text("410 residues")
    shows(page, _CHROMOSOMES["chr1"])
    page.get_by_role("link", name="All releases").click()
    expect(page.locator("h1")).to_have_text("Releases")
    assert page.url == f"{url}#/releases"
    # Without the last slash, addresses that are relative would lead elsewhere.
    assert requests.get(f"{url}releases/r1", timeout=30).url == f"{url}releases/r1/"


# --- whatever is served -------------------------------------------------------------------------


def test_it_works_below_any_prefix(opened: Opener, root: Path) -> None:
    with seqarchive.connect(root) as archive:
        app = FastAPI(routes=[Mount("/some/where", create_app(archive))])
        with running(app) as address:
            page = opened("#/sequence/set-base:chr1", base=f"{address}/some/where/")
            shows(page, _CHROMOSOMES["chr1"])
            assert f"{address}/some/where/sequence/SQ." in page.locator(".commands").inner_text()
            assert not page.locator("#to-releases").is_visible()
            visit(page, f"{address}/some/where/#/compare/assembly:base/assembly:moved")
            assert "another order" in page.locator(".verdict").inner_text()


def test_what_has_no_history_does_not_speak_of_it(
    opened: Opener, root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    initialise(Instance(other))
    with seqarchive.connect(other) as archive:
        archive["mine:private"] = "GATTACA"
    export_rgstore(Instance(root), tmp_path / "store")
    for place in (tmp_path / "store", [other, root]):
        served: Any = seqarchive.connect(place)
        with closing(served), running(create_app(served)) as address:
            page = opened("#/collections", base=f"{address}/")
            assert "assembly:base" in page.locator("main").inner_text()
            visit(page, f"{address}/#/")
            assert "Last change" in page.locator("main").inner_text() or place != [other, root]
            visit(page, f"{address}/#/sequence/set-base:chr1")
            shows(page, _CHROMOSOMES["chr1"])
            text = page.locator("main").inner_text()
            assert "istory" not in text
            assert "Records" not in text
            visit(page, f"{address}/#/collection/assembly:base")
            assert len(rows(page, "Sequences of the collection")) == 6
            visit(page, f"{address}/#/compare/assembly:base/assembly:changed")
            assert "3 sequences in both" in page.locator(".verdict").inner_text()
            found = requests.get(f"{address}/sequence/set-base:chr1/history", timeout=30)
            assert (found.status_code, found.json()["status_code"]) == (404, 404)


# --- for everybody ------------------------------------------------------------------------------

_VIEWS = (
    "", "#/search?q=ENST0000", "#/sequence/lab:best", "#/sequence/lab:plasmid?range=490-20",
    "#/collections", "#/collection/assembly:base", "#/compare",
    "#/compare/assembly:base/assembly:changed", "#/compare/assembly:many/assembly:many2",
    "#/releases", "#/releases/r1/r2", f"#/collection/{quote('evil:<b>bold</b>', safe='')}",
)  # fmt: skip


def test_names_are_never_markup(opened: Opener, url: str) -> None:
    names = [f"evil:{name}" for name in _HOSTILE]
    page = opened(allowed="TrustedHTML")
    for name in names:
        visit(page, f"{url}#/sequence/{quote(name, safe='')}")
        assert page.locator("h1").inner_text() == name
        get = page.locator(".commands li", has_text="In an archive").locator("code").inner_text()
        is_plain = re.fullmatch(r"[\w.:-]+", name) is not None
        assert get == f"seqarchive get {name if is_plain else sq(_HOSTILE[name[5:]])}"
    visit(page, f"{url}#/search?q=evil:")
    expect(page.locator(".results li")).to_have_count(5)
    text = page.locator(".results").inner_text()
    assert all(name in text for name in names)
    visit(page, f"{url}#/search?q={quote('<img src=x onerror=alert(9)>')}")
    expect(page.locator(".lead")).to_contain_text("<img src=x onerror=alert(9)>")
    assert page.locator("main img, main script, main b").count() == 0
    # Should it ever be tried, the policy stops it.
    tried = page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; return 'done'; }"
        " catch (error) { return error.name; } }"
    )
    assert tried == "TypeError"
    headers = requests.get(url, timeout=30).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in headers["Content-Security-Policy"]
    for path in ("page/page.js", "page/page.css", "page/icon.svg"):
        part = requests.get(url + path, timeout=30)
        assert part.headers["X-Content-Type-Options"] == "nosniff"
        etag = {"If-None-Match": part.headers["ETag"]}
        assert requests.get(url + path, headers=etag, timeout=30).status_code == 304
    assert requests.get(f"{url}page/..%2Fweb.py", timeout=30).status_code == 404


def test_everything_by_keyboard(opened: Opener) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "q":
            break
    page.keyboard.type("big:long")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("big:long")
    expect(page.locator("h1")).to_be_focused()  # so that one reads on from here
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(
            "document.activeElement.getAttribute('aria-label') || document.activeElement.innerText"
        ))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", reached
        if page.evaluate("document.activeElement.className") == "residues":
            break
    assert {"Go", "Next", "Position in the whole sequence", "Residues"} <= reached
    shows(page, _LONG)
    page.keyboard.press("PageDown")
    assert shows(page, _LONG)[0] > 0


def test_a_phone_needs_no_scrolling_sideways(opened: Opener, url: str) -> None:
    page = opened(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    for view in _VIEWS:
        visit(page, url + view)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, view


_CHECK = (Path(__file__).parent / "accessibility.js").read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_by_everybody(opened: Opener, url: str, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    for view in (*_VIEWS, "#/sequence/lab:gone"):
        visit(page, url + view)
        if view.startswith("#/sequence/lab:plasmid"):
            page.get_by_label("Colours").check()
        assert page.evaluate(_CHECK) == [], view


# --- what the page asks -------------------------------------------------------------------------


def asked(url: str, path: str, **parameters: Any) -> Any:
    answer = requests.get(url + path, params=parameters, timeout=30)
    return answer.json() if answer.status_code == 200 else (answer.status_code, answer.json())


def test_searching_by_beginnings(url: str) -> None:
    found = asked(url, "search", q="enst0001", limit=5)
    assert found["is_cut"]
    assert [one["name"] for one in found["results"]] == [
        f"set-many{name}"
        for name in (":ENST00010", "2:ENST00010.2", ":ENST00011", "2:ENST00011.2", ":ENST00012")
    ]
    found = asked(url, "search", q="set-part:")
    assert [one["name"] for one in found["results"]] == [f"set-part:chr{n}" for n in range(1, 5)]
    found = asked(url, "search", q="assembly:many")
    assert found["is_exact"]
    names = [one["name"] for one in asked(url, "search", q="assembly:man")["results"]]
    assert names == ["assembly:many", "assembly:many2"]
    (one,) = asked(url, "search", q="big:long:10-20")["results"]
    assert (one["name"], one["start"], one["end"]) == ("big:long", 10, 20)
    (one,) = asked(url, "search", q=md5(_LONG)[:10])["results"]
    assert one["sequence"] == sq(_LONG)
    for parameters in ({}, {"q": " "}, {"q": "a", "limit": 0}, {"q": ["a", "b"]}):
        status, document = asked(url, "search", **parameters)
        assert (status, document["status_code"]) == (400, 400)


def test_changes_are_paged_and_filtered(url: str) -> None:
    found = asked(url, "changes", **{"from": "r1", "to": "r2"}, page_size=3, page=1)
    assert found["counts"] == {
        "sequence added": 4, "alias added": 4, "alias moved": 1, "alias retired": 1
    }  # fmt: skip
    assert len(found["results"]) == 3
    found = asked(url, "changes", **{"from": "r2", "to": "r1", "kind": "alias moved"})
    (change,) = found["results"]
    assert change["to"] == sq(_CHROMOSOMES["chr1"])
    assert asked(url, "changes", **{"from": "r1"})[0] == 400
    assert asked(url, "changes", **{"from": "r1", "to": "../x"})[0] == 400
    assert asked(url, "releases/r1/changes", **{"from": "r1", "to": "r2"})[0] == 404


def test_bad_questions_are_refused(url: str) -> None:
    for path, status in (
        ("comparison/assembly:base/assembly:part/members?kind=x", 400),
        ("comparison/assembly:base/assembly:part/members?bands=0", 400),
        ("comparison/assembly:base/nosuch/members", 404), ("collection/nosuch/members", 404),
        ("collection/assembly:base/members?page_size=5000", 400), ("page/nothing", 404),
        ("sequence/nosuch/history", 404), ("sequence/twice/composition", 409),
        ("collection/nosuch/provenance", 404), ("summary/collections?page=x", 400),
    ):  # fmt: skip
        found = asked(url, path)
        assert found[0] == status, path
        assert found[1]["msg"]


def test_the_page_has_no_more_than_it_needs(url: str) -> None:
    """All of it, before any compression."""
    page = Path(seqarchive.__file__).parent / "server" / "page"
    assert sum(file.stat().st_size for file in page.iterdir()) < 120_000
    listed = set(re.findall(r"page/([\w.]+)", (page / "index.html").read_text()))
    assert listed == {file.name for file in page.iterdir()} - {"index.html"}
    assert json.loads(requests.get(f"{url}openapi.json", timeout=30).text)["paths"]["/search"]
