"""Records of a sweep are joined by topology and setting."""

import pytest

from nfcompile.study.statistics import Estimate
from nfcompile.study.summary import outcomes, without_skip


def scored(topology, edges, **metrics):
    task = {"kind": "score", "topology": topology, "seed": 0}
    result = {"l2": [0.5], "l1": [0.5], "l0": [0.5], "rank": 7, **metrics, "edges": edges}
    return {"task": task, "result": result}


def trained(topology, accuracy, seed, edges=128, dataset="digits"):
    task = {"kind": "train", "topology": topology, "dataset": dataset, "layers": 2, "epochs": 3,
            "init": "fan_in", "seed": seed}  # fmt: skip
    return {"task": task, "result": {"accuracy": accuracy, "edges": edges}}


def test_records_are_joined_by_topology_and_a_score_holds_with_and_without_its_skip():
    plain, skipping = "butterfly(n=16, radix=4)", "butterfly(n=16, radix=4, skip=true)"
    records = [
        trained(plain, 0.8, 0),
        trained(skipping, 0.7, 0),
        trained(plain, 0.9, 1),
        scored(plain, 128, l2=[0.1, 0.3]),
        scored("dense(n=16)", 256),
    ]
    one, two, three = outcomes(records)
    assert (one.topology, one.kind, one.skip, one.edges) == (plain, "butterfly", False, 128)
    assert one.accuracy == Estimate((0.8, 0.9))
    assert one.heuristic["l2"] == Estimate((0.1, 0.3))
    assert one.heuristic["rank"].mean == 7
    assert (two.topology, two.skip, two.accuracy.count) == (skipping, True, 1)
    assert two.heuristic == one.heuristic
    assert (three.topology, three.accuracy) == ("dense(n=16)", None)


def test_other_data_sets_are_other_settings():
    text = "butterfly(n=16, radix=4)"
    found = outcomes([trained(text, 0.8, 0), trained(text, 0.5, 0, dataset="mnist")])
    assert [o.accuracy.mean for o in found] == [0.8, 0.5]
    assert len({o.setting for o in found}) == 2
    assert all(o.heuristic == {} for o in found)


def of_setting(record, **setting):
    return {**record, "task": {**record["task"], **setting}}


def test_only_scores_of_the_most_frequent_setting_count():
    one, two, three = (f"low-rank(n=16, rank={rank})" for rank in (1, 2, 3))
    records = [
        of_setting(scored(one, 32, l2=[0.9]), draws=1),
        of_setting(scored(one, 32, l2=[0.1]), draws=5),
        of_setting(scored(two, 64, l2=[0.2]), draws=5),
        of_setting(scored(two, 64, l2=[0.8]), draws=5, seed=1),
        of_setting(scored(three, 96, l2=[0.7]), draws=1),
    ]
    for listed in (records[:4], records[3::-1]):
        found = {item.topology: item.heuristic["l2"].mean for item in outcomes(listed)}
        assert found == {one: 0.1, two: 0.2}
    (found,) = outcomes([*records[1:3], records[4], trained(three, 0.5, 0)])[:1]
    assert found.topology == three and found.heuristic == {}
    (found,) = outcomes(records[:2])
    assert found.heuristic["l2"].mean == 0.9  # as often: the first


def test_records_of_an_older_recipe_do_not_count():
    text = "low-rank(n=16, rank=1)"
    old = [trained(text, 0.1, 0), scored(text, 32, l2=[0.9])]
    (found,) = outcomes([*old, of_setting(trained(text, 0.8, 0), recipe=1)])
    assert found.accuracy.mean == 0.8 and found.heuristic == {}


@pytest.mark.parametrize("text", ["butterfly(n=16, radix=4", "parallel-butterfly(n=16, radix=4"])
def test_a_topology_has_one_text_without_a_skip(text):
    texts = {without_skip(f"{text}, skip={skip})") for skip in ("true", "false")}
    (bare,) = texts
    assert without_skip(bare) == bare and "true" not in bare
