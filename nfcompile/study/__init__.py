"""Experiments on topologies: many independent trainings, run on all cores and resumable."""

__all__: list[str] = []
