"""Ours without its parts: what counts as a loss, and that a part that earns nothing is told."""

from dataclasses import replace

import pytest

from controller.reproduce.ablation_scenes import FULL, MARGIN, OPTUNA, PARTS, SCENES, SLO, TRIED, designs
from controller.reproduce.ablations import Ablated, ablation_figure, ablation_table, loss, requirements
from controller.reproduce.batch_facts import HOST_USD_A_DAY
from controller.reproduce.overheads import overhead_rows, with_overheads
from controller.reproduce.rehearsal import rehearse
from controller.reproduce.rows import Done, Reproduction

WHOLE = Ablated("here", FULL, 2.0, 0.01, 4)
OUTCOMES = [WHOLE, *(replace(WHOLE, design=part, usd_per_million=2.2) for part in PARTS)]


def test_inside_the_objective_a_loss_is_money():
    assert loss(replace(WHOLE, usd_per_million=2.5, window_violation_ratio=0.05), WHOLE) == pytest.approx(0.25)
    assert loss(replace(WHOLE, usd_per_million=1.8), WHOLE) == pytest.approx(-0.1)


def test_the_objective_comes_before_money():
    assert loss(replace(WHOLE, usd_per_million=1.0, window_violation_ratio=0.08), WHOLE) == pytest.approx(0.03)
    broken = replace(WHOLE, window_violation_ratio=0.25)
    assert loss(replace(WHOLE, usd_per_million=9.0), broken) == pytest.approx(-0.2)


def test_every_part_is_tried_somewhere_by_a_design_that_lacks_it_alone():
    known = designs()
    assert {part for parts in TRIED.values() for part in parts} == set(PARTS)
    assert set(TRIED) == set(SCENES)
    for part in PARTS:
        assert known[part] != known[FULL]


def test_each_part_that_earns_something_holds():
    required = requirements(OUTCOMES)
    assert [each.holds for each in required] == [True] * len(PARTS)
    assert required[0].worst == pytest.approx(-0.1)


def test_a_part_that_earns_nothing_is_missed():
    outcomes = [each if each.design != OPTUNA else replace(each, usd_per_million=2.001) for each in OUTCOMES]
    missed = [each.text for each in requirements(outcomes) if not each.holds]
    assert missed == [f"{OPTUNA}: gain at the scene that needs it"]


def test_the_table_says_what_each_part_costs():
    assert "+10.0 %" in ablation_table(OUTCOMES)
    assert all(len(line) <= 80 for line in ablation_table(OUTCOMES).splitlines())


def test_the_picture_has_a_row_for_each_part():
    drawn = ablation_figure(OUTCOMES)
    assert drawn.count("here: ") == len(PARTS)
    assert "without the part named" in drawn


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_is_the_same_from_the_same_seed_and_another_from_another(name):
    first, again, other = (SCENES[name](seed).arrival_s.tolist() for seed in (4, 4, 5))
    assert first == again
    assert first != other


def test_the_loop_learns_from_slow_answers_that_it_did_not_predict():
    # The neighbour comes at 100 and 220 s; by then the loop knows, and without the lesson it does not.
    scene = replace(SCENES["neighbour"](1), until_s=245.0)
    late: dict[str, float] = {}
    for part in (FULL, MARGIN):
        run = rehearse(scene, designs()[part])
        late[part] = float(run.result.late(SLO.bound_s)[run.result.arrival_s > 220.0].mean())
        reasons = [line["reason"] for line in run.decisions]
        assert any("slow answers took" in reason for reason in reasons) == (part == FULL)
    assert late[FULL] < 0.05
    assert late[MARGIN] > 0.2


def test_packager_and_controller_cost_something_and_deciding_more_costs_more():
    packager, controller = overhead_rows("BATCH")
    busy = list(overhead_rows("BATCH", deciding_s_a_day=86_400.0))[1]
    assert packager.reproduced == packager.ours > 0
    assert controller.published == HOST_USD_A_DAY
    assert 0 < controller.ours < controller.reproduced == 0.14 < busy.ours


def test_overheads_are_added_to_rows_and_text():
    done = with_overheads(Done(Reproduction("jbmp", [], [], []), "table"), "JBMP")
    assert len(done.reproduction.rows) == 2
    assert done.text.startswith("table\n\n")
    assert "packager always on" in done.text
