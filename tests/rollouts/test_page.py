"""The page in a real browser: hostile completions stay text, and 100,000 rollouts are quick."""

from __future__ import annotations

import json

import pytest

from acecoder_rl.rollouts.log import RolloutLog
from tests.rollouts.conftest import served
from tests.rollouts.made import rollout

pytestmark = pytest.mark.alone  # looks at a clock
HOSTILE = "</pre><script>window.ran = 1</script><img src=x onerror='window.ran = 2'><svg onload='window.ran = 3'>"
SHOWN = "document.body && document.body.dataset.shown"
# Of a change in the form, until what it gives is drawn: milliseconds.
FILTER = """new Promise((done) => {
  const field = document.querySelector('[name=%s]'), before = document.body.dataset.shown, began = performance.now();
  const watch = new MutationObserver(() => {
    if (document.body.dataset.shown === before) return;
    watch.disconnect();
    const drawn = () => done([performance.now() - began, Number(document.body.dataset.matched)]);
    requestAnimationFrame(() => setTimeout(drawn));
  });
  watch.observe(document.body, { attributes: true });
  field.value = %s;
  field.dispatchEvent(new Event('input', { bubbles: true }));
})"""


def test_texts_of_models_are_never_html(page, tmp_path):
    log = RolloutLog(tmp_path)
    log.add(rollout(
        0, "110", completion=HOSTILE, program=f"# {HOSTILE}\nx = '''{HOSTILE}'''\n", question=HOSTILE,
        problem=f"a{HOSTILE}",
    ))  # fmt: skip
    log.add(rollout(1, problem=f"a{HOSTILE}"))
    log.close()
    with served(tmp_path) as url:
        page.go(url)
        page.until(SHOWN)
        for tab in ("groups", "suspects", "rollouts"):
            page.value(f"document.querySelector('[data-tab={tab}]').click()")
        page.until("document.querySelectorAll('.row').length === 2")
        page.value("document.querySelectorAll('.row')[1].click()")
        page.until("document.querySelector('#detail h2') !== null")
        page.value("[...document.querySelectorAll('#detail button')].at(-1).click()")
        page.until("document.querySelectorAll('dialog section pre').length === 2")
        page.value("new Promise((done) => setTimeout(done, 300))")
        assert page.value("window.ran") is None
        assert page.value("document.querySelectorAll('img, svg:not(.curve), pre script').length") == 0
        shown = page.value("document.body.textContent")
        assert shown.count(HOSTILE) >= 5
        assert page.value("document.querySelector('#detail pre').textContent") == f"# {HOSTILE}\nx = '''{HOSTILE}'''\n"
        assert page.value("document.querySelectorAll('#detail .tests > .bad').length") == 1
        # Should a text ever be parsed after all, the page's policy does not let it run.
        page.value(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(HOSTILE)})")
        page.value("new Promise((done) => setTimeout(done, 300))")
        assert page.value("window.ran") is None


def test_100_000_rollouts_open_and_filter_quickly(page, large):
    opened = []
    for _ in range(3):
        page.go("about:blank")
        page.go(large)
        page.until(SHOWN)
        assert page.value("document.body.dataset.matched") == "100000"
        opened.append(page.until("performance.getEntriesByName('rollouts shown')[0]?.startTime"))
    filters = {
        "flags": ("'frames'", 200), "problem": "'problem-77'", "reward_min": "0.9", "step_max": "50", "mode": "'train'",
        "sort": "'length'",
    }  # fmt: skip
    took = {}
    for name, value in filters.items():
        value, matched = value if isinstance(value, tuple) else (value, None)
        times = []
        for _ in range(3):
            page.value(FILTER % (name, json.dumps("time" if name == "sort" else "")))
            milliseconds, found = page.value(FILTER % (name, value))
            times.append(milliseconds)
            assert 0 < found <= 100_000 and matched in (None, found)
        took[name] = min(times)
        page.value(FILTER % (name, json.dumps("time" if name == "sort" else "")))
    searches = []
    for text, matched in (("ANSWER 4242:", 1), ("answer 77", 1111), ("return", None)):
        milliseconds, found = page.value(FILTER % ("text", json.dumps(text)))
        searches.append(milliseconds)
        assert found > 0 and matched in (None, found)
    print(
        f"\nopened {min(opened):.0f} ms, filters",
        {name: round(value) for name, value in took.items()},
        f"texts {[round(value) for value in searches]}",
    )
    # Bars are 2 s and 300 ms; other processes may have the cores here.
    assert min(opened) < 4000
    assert max(took.values()) < 1500 and min(searches) < 1500


def test_any_row_of_a_long_list_can_be_reached(page, large):
    page.go("about:blank")
    page.go(f"{large}#ascending=1")
    page.until(SHOWN)
    rows = "[...document.querySelectorAll('.row')]"
    page.value("const list = document.querySelector('#list'); list.scrollTop = list.scrollHeight")
    page.until(f"{rows}.at(-1).textContent.includes('problem-12499')")
    assert page.value(f"{rows}.length") < 60
    page.value("document.querySelector('#list').scrollTop = 50000 * 26")
    page.until(f"{rows}[0].textContent.includes('problem-6250')")
    page.value(f"{rows}[0].click()")
    page.until("document.querySelector('#detail h2')?.textContent === 'problem-6250'")
    page.value("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'j' }))")
    page.until("document.querySelectorAll('.chip')[1].classList.contains('chosen')")


def test_new_rollouts_appear_while_a_run_goes_on(page, tmp_path):
    log = RolloutLog(tmp_path)
    log.add(rollout(0))
    assert log.flush()
    with served(tmp_path) as url:
        page.go("about:blank")
        page.go(url)
        page.until("document.body.dataset.matched === '1'")
        log.add(rollout(1))
        log.close()
        page.until("document.body.dataset.matched === '2' && document.querySelectorAll('.row').length === 2")
        assert page.value("document.querySelector('#facts').textContent").startswith("2 rollouts of 2 problems")
