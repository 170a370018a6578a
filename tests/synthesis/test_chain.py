"""The whole chain from prepared answers: its numbers are those reckoned by hand in prepared.py.

Does not cover: how answers are got (test_endpoint.py), single stages (their own tests), kills (test_kill.py).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from acecoder_rl.records import InputError
from acecoder_rl.synthesis import stage_table, verify
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.budget import Budget, BudgetSpent
from acecoder_rl.synthesis.recipe import Recipe
from acecoder_rl.synthesis.run import chosen
from acecoder_rl.synthesis.stage_table import STAGES, Work
from acecoder_rl.synthesis.stages import Chunk, dropped_of, run_stage
from acecoder_rl.synthesis.state import state_of
from acecoder_rl.training.recipe import RecipeError
from tests.synthesis import prepared
from tests.synthesis.chain import named, requests, run, tables, write_recipe
from tests.synthesis.fake_endpoint import Fake, Reply, endpoint


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A recipe that has run, its folder, and the endpoint, which still answers."""
    folder = tmp_path_factory.mktemp("chain")
    with endpoint(prepared.answer) as fake:
        recipe = write_recipe(folder, fake.url)
        yield recipe, run(recipe), fake


@pytest.fixture
def fresh(tmp_path):
    """A recipe that has not run."""
    with endpoint(prepared.answer) as fake:
        yield write_recipe(tmp_path, fake.url), fake


def test_kept_tests(finished):
    _, folder, _ = finished
    rows = named(tables(folder)["verify"])
    assert {name: json.loads(row["tests"]) for name, row in rows.items()} == prepared.KEPT
    assert {name: row["imagined"] for name, row in rows.items()} == {"alpha": 8, "beta": 5, "delta": 5, "zeta": 6}
    counts = state_of(folder, "verify").counts
    assert (counts["tests_imagined"], counts["tests_kept"]) == (30, 21)
    # gamma's four good ones go with it.
    assert {name: count for name, count in counts.items() if name.startswith("tests_dropped")} == {
        "tests_dropped.oracle_failed": 4,
        "tests_dropped.duplicate": 1,
        "tests_dropped.few_tests": 4,
    }


def test_dropped_questions(finished):
    _, folder, _ = finished
    rows = tables(folder)
    ids = {name: row["id"] for name, row in named(rows["seeds"]).items()}
    assert [(each.id, each.reason) for each in dropped_of(folder, "imagine")] == [(ids["epsilon"], "unreadable")]
    assert [(each.id, each.reason) for each in dropped_of(folder, "verify")] == [(ids["gamma"], "few_tests")]
    for stage in ("verify", "sample", "build"):
        assert [row["id"] for row in rows[stage]] == [ids[name] for name in ("alpha", "beta", "delta", "zeta")]


def test_pass_rates_are_over_the_kept_tests(finished):
    _, folder, _ = finished
    rows = tables(folder)
    for name, row in named(rows["sample"]).items():
        inferences = json.loads(row["inferences"])
        assert [each["test_results"] for each in inferences] == prepared.PASSED[name]
        assert [each["pass_rate"] for each in inferences] == prepared.RATES[name]
    for name, row in named(rows["build"]).items():
        assert row["test_cases"] == prepared.KEPT[name]
        assert [each["pass_rate"] for each in row["inferences"]] == prepared.RATES[name]
        assert [each["completion"].strip() for each in row["inferences"]] == prepared.PROGRAMS[name]


def paired(folder: Path) -> dict[str, set[tuple[int, int]]]:
    rows = tables(folder)
    names = {row["id"]: name for name, row in named(rows["build"]).items()}
    found: dict[str, set[tuple[int, int]]] = {}
    for row in rows["pairs"]:
        name = names[row["question_id"]]
        sides = [
            next(number for number, program in enumerate(prepared.PROGRAMS[name]) if f"\n{program}\n" in row[side])
            for side in ("chosen", "rejected")
        ]
        rates = [prepared.RATES[name][side] for side in sides]
        assert row["margin"] == pytest.approx(rates[0] - rates[1])
        found.setdefault(name, set()).add((sides[0], sides[1]))
    return found


def test_pairs_by_the_papers_rule(finished):
    _, folder, _ = finished
    assert paired(folder) == prepared.PAIRS["paper"]


def test_the_hard_subset(finished):
    _, folder, _ = finished
    assert list(named(tables(folder)["hard"])) == prepared.HARD


def test_each_answer_is_asked_for_once(finished):
    _, _, fake = finished
    assert len(requests(fake)) == len(set(requests(fake))) == 6 + 5 + 4 * 4


def test_what_it_cost(finished):
    _, folder, _ = finished
    cost = {name: state_of(folder, name).cost for name in ("imagine", "verify", "sample")}
    # epsilon's answer is paid, too. 1 USD for a million tokens of a prompt, 2 for those of an answer.
    assert cost == pytest.approx({"imagine": 6 * 200e-6, "verify": 5 * 80e-6, "sample": 16 * 80e-6})


def test_a_finished_run_does_nothing(finished):
    recipe, folder, fake = finished
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}
    asked = len(fake.asked)
    assert run(recipe) == folder
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}
    # An open database makes files of its own, and takes them away.
    assert {path: each for path, each in after.items() if "sqlite" not in path.name} == {
        path: each for path, each in before.items() if "sqlite" not in path.name
    }
    assert len(fake.asked) == asked


def test_changed_settings_are_refused_before_anything_is_asked(fresh):
    recipe, fake = fresh
    folder = run(recipe, "seeds..verify")
    asked = len(fake.asked)
    with pytest.raises(InputError, match=r"verify\.min_tests was 5, and is now 4: .*--from verify"):
        run(recipe, overrides=["verify.min_tests=4"])
    with pytest.raises(InputError, match=r"/verify: models\.oracle\.seeds was True, and is now False"):
        run(recipe, overrides=["models.oracle.seeds=false"])
    with pytest.raises(InputError, match=r"/verify: sandbox\.test_seconds was None, and is now 1"):
        run(recipe, overrides=["sandbox.test_seconds=1.0"])
    with pytest.raises(InputError, match=r"imagine\.temperature was 0\.7, and is now 1"):
        run(recipe, "sample", overrides=["imagine.temperature=1.0"])
    assert len(fake.asked) == asked and state_of(folder, "sample") is None


def test_what_decides_no_row_may_change(fresh):
    recipe, fake = fresh
    run(recipe, "seeds..sample")
    asked = len(fake.asked)
    fewer = ["models.solver.concurrency=1", "models.oracle.price_in=3.0", "sandbox.workers=2"]
    folder = run(recipe, overrides=fewer)
    assert len(fake.asked) == asked and state_of(folder, "hard").state == "finished"


def test_from_makes_a_stage_and_those_after_it_anew_without_asking_again(finished, tmp_path):
    recipe, folder, fake = finished
    asked = len(fake.asked)
    before = tables(folder)
    made = (folder / "verify" / "part-00000.parquet").stat().st_mtime_ns
    run(recipe, anew="pairs", overrides=["pairs.rule=code"])
    assert paired(folder) == prepared.PAIRS["released"]
    run(recipe, anew="verify", overrides=["pairs.rule=paper"])
    assert (folder / "verify" / "part-00000.parquet").stat().st_mtime_ns > made
    assert len(fake.asked) == asked
    assert tables(folder) == before


def test_one_stage_after_the_other_is_the_whole(finished, fresh):
    recipe, _ = fresh
    for stages in ("seeds", "imagine", "verify..sample", "build", "hard", "pairs"):
        folder = run(recipe, stages)
    assert tables(folder) == tables(finished[1])


def test_a_stage_needs_the_one_before(fresh):
    recipe, fake = fresh
    with pytest.raises(InputError, match="stage verify has not begun: run it first"):
        run(recipe, "sample")
    assert not fake.asked


@pytest.mark.parametrize(
    ("text", "told"),
    [("verfy", "did you mean verify"), ("seeds..hart", "did you mean hard"), ("build..verify", "give verify..build")],
)
def test_stages_are_named_right(text, told):
    with pytest.raises(InputError, match=told):
        chosen(text)


def test_max_cost_stops_and_a_higher_one_goes_on(fresh):
    recipe, fake = fresh
    short = ["imagine.max_tokens=100"]  # or one answer might cost more than all that come
    with pytest.raises(BudgetSpent, match="--max-cost"):
        run(recipe, overrides=short, max_cost=0.005)
    some = len(fake.asked)
    assert 0 < some < 27
    folder = run(recipe, overrides=short, max_cost=10.0)
    assert len(requests(fake)) == len(set(requests(fake))) == 27
    assert state_of(folder, "hard").state == "finished"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("models.solver.api_key_env=NO_SUCH_KEY", r"models\.solver\.api_key_env is NO_SUCH_KEY.*export NO_SUCH_KEY="),
        ("models.solver.endpoint=http://127.0.0.1:9/v1", r"models\.solver\.endpoint is http://127.*nobody answers"),
        ("models.solver={path: ./no/such/model, device: cpu}", r"models\.solver\.path is './no/such/model'"),
    ],
)
def test_what_a_later_stage_lacks_is_told_before_anything_is_paid(fresh, override, told):
    recipe, fake = fresh
    with pytest.raises(RecipeError, match=told):
        run(recipe, overrides=[override])
    assert not fake.asked


def test_a_section_is_needed_by_its_stage_alone(fresh):
    recipe, _ = fresh
    document = json.loads(recipe.read_text())
    del document["sample"]
    recipe.write_text(json.dumps(document))
    with pytest.raises(RecipeError, match="sample is missing: stage sample needs this section"):
        run(recipe)
    run(recipe, "seeds..verify")


def test_a_folder_of_another_kind_of_run_is_left_alone(fresh, tmp_path):
    recipe, fake = fresh
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("[]")
    with pytest.raises(InputError, match="holds a run of another kind: give another"):
        run(recipe)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"] and not fake.asked


def test_another_run_in_the_folder_is_refused(fresh):
    recipe, _ = fresh
    stopped: list[str] = []

    def second(stage: str, done: int, total: int | None, cost: float) -> None:
        if stage == "imagine" and not stopped:
            with pytest.raises(InputError, match="in use by another process"):
                run(recipe)
            stopped.append(stage)

    run(recipe, on_progress=second)
    assert stopped == ["imagine"]


def test_progress_is_told_for_each_stage(fresh):
    recipe, _ = fresh
    told: dict[str, list[tuple[int, int | None]]] = {}
    run(recipe, on_progress=lambda stage, done, total, cost: told.setdefault(stage, []).append((done, total)))
    ends = {stage: steps[-1] for stage, steps in told.items()}
    assert ends["imagine"] == (6, 6) and ends["verify"] == (5, 5) and ends["sample"] == ends["hard"] == (4, 4)
    assert all(steps == sorted(steps) for stage, steps in told.items() if stage != "seeds")
    assert (3, 4) in told["sample"]  # within a chunk, by the answers that came
    assert (ends["build: prompts"], ends["hard: prompts"]) == ((4, 4), (1, 1))


def test_a_prompt_file_that_is_edited_meanwhile_counts_in_the_next_run(fresh, tmp_path, monkeypatch):
    recipe, fake = fresh
    monkeypatch.setattr(stage_table, "CHUNKS", dict.fromkeys(stage_table.CHUNKS, 2))
    mine = tmp_path / "mine.txt"
    mine.write_text("Former: {program}")

    def edit(stage: str, done: int, total: int | None, cost: float) -> None:
        if stage == "imagine" and done == 2:
            mine.write_text("Later: {program}")

    prompt = [f"imagine.prompt_without_question={mine}"]
    run(recipe, "seeds..imagine", overrides=prompt, on_progress=edit)
    assert {text.partition(":")[0] for text in fake.prompts()} == {"Former"} and len(fake.asked) == 6
    with pytest.raises(InputError, match=r"imagine\.prompt_texts was .*--from imagine"):
        run(recipe, "imagine", overrides=prompt)


@pytest.mark.parametrize("seeds", [True, False])
def test_the_oracles_programs_do_not_come_again_as_samples(tmp_path, seeds):
    def answer(body: dict, number: int) -> Reply:
        return prepared.answer(body if body["model"] == "writer" else {**body, "model": "oracle"})

    with endpoint(answer) as fake:
        recipe = write_recipe(tmp_path, fake.url, seeds=seeds)
        run(recipe, "seeds..sample", ["verify.oracle={model: solver, n: 2}", "sample.n=2"])
        asked = [text for text in requests(fake) if json.loads(text)["model"] == "solver"]
    assert len(asked) == 5 * 2 + 4 * 2  # one question goes
    assert len(set(asked)) == (len(asked) if seeds else 5)  # the prompts are the same


def test_what_a_forgotten_stage_needs_is_looked_for_before_it_is_forgotten(fresh, monkeypatch):
    def load_dataset(*arguments, **more):
        raise ConnectionError("no network")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    recipe, fake = fresh
    folder = run(recipe)
    before, asked = tables(folder), len(fake.asked)
    for override in ("seeds.sources=no/such", "seeds.benchmarks=no/such"):
        with pytest.raises(RecipeError, match=r"seeds\.\w+\.0\.path is 'no/such' .*no network"):
            run(recipe, anew="seeds", overrides=[override])
    assert tables(folder) == before and len(fake.asked) == asked


def test_engines_that_take_turns_have_large_chunks(tmp_path):
    engines = {name: {"path": f"owner/{name}"} for name in ("one", "two")}
    run_stage(tmp_path, "verify", verify.schema(), [], Chunk, 1, {})
    for names, size in ((["one"], 128), (["one", "two"], 1024)):
        recipe = Recipe(models=engines, sample={"models": names})
        folder = tmp_path / str(size)
        shutil.copytree(tmp_path / "verify", folder / "verify")
        with Answers(folder / "answers.sqlite") as answers:
            STAGES["sample"].run(Work(recipe, folder, answers, Budget(), None, lambda done, total: None))
        assert state_of(folder, "sample").chunk_size == size


def _asked_of(fake: Fake, model: str) -> int:
    return sum(body["model"] == model for body in fake.asked)


def test_the_same_question_again_is_not_paid_again(fresh):
    recipe, fake = fresh
    run(recipe)
    # More programs a question: those that are there are kept.
    run(recipe, anew="sample", overrides=["sample.n=6"])
    assert _asked_of(fake, "solver") == 4 * 6
    assert len(requests(fake)) == len(set(requests(fake)))
