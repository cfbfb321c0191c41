"""Layers are compiled, verified and timed side by side."""

from nfcompile.study.latency import measure_latency
from nfcompile.topology import Butterfly, Dense


def test_each_topology_is_timed_at_each_batch_size():
    said = []
    topologies = [Butterfly(64, 8), Dense(64)]
    found = measure_latency(topologies, (1, 8), time_s=0.02, progress=said.append)
    assert [sorted(timings) for timings in found] == [[1, 8]] * 2
    assert all(t.median_us > 0 for timings in found for t in timings.values())
    assert len(said) == 4


def test_a_layer_of_many_more_multiplications_takes_longer():
    (small,) = measure_latency([Dense(64)], (4,), time_s=0.02)
    (wide,) = measure_latency([Dense(1024)], (4,), time_s=0.05)
    assert wide[4].median_us > 3 * small[4].median_us
