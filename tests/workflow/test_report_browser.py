"""The report as a reader has it: opened from disk in a browser that has no network."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from guidebp.analysis.results import Results
from guidebp.collect.rows import TABLES
from guidebp.rendering.report.page import write_report
from tests.rendering.test_report import study, write
from tests.support.made_up_results import METHODS, made_up

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}

# Contrast of the text of every element that has some and is shown, as WCAG computes it; the lowest first.
CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.body.querySelectorAll("*")]
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) && e.checkVisibility())
    .filter((e) => !e.closest("[aria-disabled=true], .disabled"))
    .map((e) => {
      const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))];
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 90)];
    })
    .sort((a, b) => a[0] - b[0]).slice(0, 3);
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The report of thirty methods: some of its tables have several pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("report"))
        paths = write(study(thirty_methods()))
        (paths.folder / "notebooks").mkdir()
        (paths.folder / "notebooks/one.html").touch()
        Path("notebooks").mkdir()
        Path("notebooks/one.py").write_text("# # One")
        write_report(paths)
        yield paths.report.resolve()


def thirty_methods() -> Results:
    """Each made-up method ten times: one is always right, which no sorting of texts puts last, one diverges."""
    results = made_up(seeds=2)
    about, names = results.about, [f"{method}{k}" for k in range(10) for method in METHODS]
    first = {name: name.replace("0", "") for name in names}

    def often(table: pd.DataFrame) -> pd.DataFrame:
        copies = [
            table.assign(method=table["method"] + str(k), key=table["key"] + f"-{k}") for k in range(10)
        ]
        found = pd.concat(copies, ignore_index=True)
        return found.assign(method=found["method"].replace({name: first[name] for name in names}))

    tables: dict[str, Any] = {name: often(getattr(results, name)) for name in (*TABLES, "costs")}
    metrics = tables["metrics"]
    metrics.loc[metrics["method"] == "guidebp9", "accuracy"] = 100.0
    lost = metrics["method"] == "average9"
    metrics.loc[lost, ["accuracy", "calibration_error"]] = None
    metrics.loc[lost, "status"] = "diverged"
    methods = {first[name]: {"title": name, "group": "usual merges"} for name in names}
    section = about["sections"][0] | {
        "title": "Merges",
        "combinations": [["digits", "columns", name] for name in methods],
    }
    return replace(results, about=about | {"methods": methods, "sections": [section]}, **tables)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def reader(browser: Any, report: Path) -> Iterator[Callable[..., Any]]:
    """Opens the report; at the end: no word in the console, nothing asked of a network."""
    wrong: list[str] = []
    contexts = []

    def open_report(size: dict[str, int] = DESKTOP, **options: Any) -> Any:
        contexts.append(context := browser.new_context(viewport=size, **options))
        context.route(re.compile("^https?:"), lambda route: route.abort())
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if network(request.url) else None)
        page.goto(report.as_uri())
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert not wrong


def network(url: str) -> bool:
    return not url.startswith(("file:", "data:", "blob:"))


def table(page: Any, name: str) -> Any:
    """A table, once it sorts and filters."""
    found = page.locator(f"#{name}")
    found.scroll_into_view_if_needed()
    page.wait_for_selector(f"#{name}.dataTable")
    return found


def column(found: Any, number: int) -> list[str]:
    cells: list[str] = found.locator(f"tbody tr td:nth-child({number})").all_inner_texts()
    return cells


ACCURACY = "digits-section--table-accuracy"


def test_tables_sort_as_numbers(reader: Callable[..., Any]) -> None:
    page = reader()
    found = table(page, ACCURACY)
    assert len(column(found, 3)) == 25, "a page of thirty"
    heading = page.locator(f"#{ACCURACY} th").nth(2)
    heading.click()
    sync_api.expect(heading).to_have_attribute("aria-sort", "ascending")
    sync_api.expect(found.locator("tbody tr td:nth-child(3)").first).to_have_text("-")
    ascending = column(found, 3)
    values = [float(text.split()[0]) for text in ascending[1:]]
    assert values == sorted(values)
    heading.click()
    sync_api.expect(found.locator("tbody tr td:nth-child(3)").first).to_have_text("100.00 ± 0.00")


def test_tables_filter(reader: Callable[..., Any]) -> None:
    page = reader()
    found = table(page, ACCURACY)
    page.locator(f".dt-container:has(#{ACCURACY}) input[type=search]").fill("guidebp9")
    sync_api.expect(found.locator("tbody tr td:nth-child(2)")).to_have_text(["guidebp9"])


def test_small_tables_stay_plain(reader: Callable[..., Any]) -> None:
    page = reader()
    table(page, ACCURACY)
    assert page.locator("#machines.dataTable, #hours.dataTable, #verdict-table.dataTable").count() == 0


def test_paper_has_all_rows_and_pictures(reader: Callable[..., Any]) -> None:
    page = reader()
    found = table(page, ACCURACY)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(column(found, 2)) == 30
    assert page.locator("main details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert len(column(found, 2)) == 25
    page.wait_for_function("performance.getEntriesByName('figures').length")
    assert page.evaluate("[...document.querySelectorAll('figure img')].every((i) => i.naturalWidth > 0)")


def test_figures_open_and_escape_closes_them(reader: Callable[..., Any]) -> None:
    page = reader()
    picture = page.locator("figure img").first
    picture.click()
    dialog = page.locator("dialog")
    assert dialog.is_visible()
    assert dialog.locator("img").get_attribute("src") == picture.get_attribute("src")
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    page.keyboard.press("Enter")
    assert dialog.is_visible(), "the keyboard is back on the figure and opens it again"
    dialog.locator("button").click()
    assert not dialog.is_visible()


def test_every_link_leads_somewhere(reader: Callable[..., Any], report: Path) -> None:
    links = reader().locator("a").evaluate_all("(all) => all.map((a) => a.getAttribute('href'))")
    html = report.read_text()
    assert any(link.startswith("notebooks/") for link in links)
    for link in set(links):
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in html, link
        elif not link.startswith("https://"):
            assert (report.parent / link).is_file(), link


def test_names_of_places_are_unique(reader: Callable[..., Any]) -> None:
    names = reader().locator("[id]").evaluate_all("(all) => all.map((e) => e.id)")
    assert len(names) == len(set(names))


def test_a_phone_scrolls_tables_and_not_the_page(reader: Callable[..., Any]) -> None:
    page = reader(PHONE)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert not page.locator("nav ul").first.is_visible()
    page.locator("nav summary").click()
    page.locator("nav a", has_text="Protocol").click()
    assert page.locator("#protocol").evaluate("(e) => e.getBoundingClientRect().top") < 844
    for frame in page.locator(".scroll").all():
        frame.scroll_into_view_if_needed()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390, "nor with all tables enhanced"


def test_headings_and_pictures_make_sense_without_eyes(reader: Callable[..., Any]) -> None:
    page = reader()
    levels = page.locator("h1, h2, h3, h4, h5, h6").evaluate_all("(all) => all.map((h) => +h.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(page.locator("figure img").evaluate_all("(all) => all.map((i) => i.alt.length > 20)"))
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.locator("th:not([scope])").count() == 0
    assert page.title() and page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_text_stands_out(reader: Callable[..., Any], size: dict[str, int]) -> None:
    page = reader(size)
    table(page, ACCURACY)
    assert [found for found in page.evaluate(CONTRAST) if found[0] < 4.5] == []


def test_everything_is_readable_without_scripts(reader: Callable[..., Any]) -> None:
    page = reader(java_script_enabled=False)
    assert page.locator(f"#{ACCURACY} tbody tr").count() == 30
    assert page.locator("#verdict-table").is_visible() and page.locator("figure img").first.is_visible()
