"""Cluster: several nodes give the same shards as one machine, byte for byte; a killed node costs its own work."""

from __future__ import annotations

import hashlib
import random
import time
from pathlib import Path

import pytest

from daybreak.core.errors import DataError, UsageError
from daybreak.core.run import Run
from daybreak.core.types import Request
from daybreak.data import cluster, sources, store
from daybreak.data.cleaning import Cleaning
from daybreak.planning import reading
from daybreak.stages.prepare import prepare_only

ray = pytest.importorskip("ray", reason="pip install '.[cluster]'")


@pytest.fixture
def nodes():
    """A cluster of a head without processors and two nodes of one each, simulated on this machine."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def text(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    draw = random.Random(0)
    common = "the of and to in a is that for it as was with be by on not he this are"
    words = common.split()
    for number in range(8):
        lines = (" ".join(draw.choices(words, k=12)) + "." for _ in range(400))
        (folder / f"{number}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PART_BYTES", 1 << 14)


def prepared(text: Path, out: Path, address: str = "") -> dict[str, str]:
    """The digest of every file of tokens."""
    settings = {"vocabulary": "257"}
    prepare_only(Request(sources=(str(text),), seconds=0.0, cluster=address, settings=settings), out=str(out))
    files = sorted(Run(out).corpus_folder.glob("*.bin"))
    return {file.name: hashlib.blake2b(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.long
def test_the_shards_are_those_of_one_machine(text: Path, tmp_path: Path, small_parts: None, nodes) -> None:
    alone = prepared(text, tmp_path / "alone")
    assert len(alone) > 10
    assert prepared(text, tmp_path / "many", nodes.address) == alone


@pytest.mark.long
def test_a_killed_node_costs_its_own_work(
    text: Path, tmp_path: Path, small_parts: None, nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = prepared(text, tmp_path / "alone")
    made, killed = [], []

    def ordered(work, items, *, address):
        for index, _ in enumerate(original(work, items, address=address)):
            made.append(time.time())
            if index == 1 and not killed:
                killed.append(True)
                nodes.remove_node(nodes.nodes[0], allow_graceful=False)
            yield None

    original = cluster.ordered
    monkeypatch.setattr(cluster, "ordered", ordered)
    assert prepared(text, tmp_path / "many", nodes.address) == alone and killed


@pytest.mark.long
def test_an_error_of_the_text_comes_back_as_itself(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"\0" * 3000)
    (part,) = sources.parts([tmp_path / "broken"])
    named = (tmp_path / "broken",)
    work = store.Work(folder=tmp_path / "store", part=part, cleaning=Cleaning(), named=named)
    with pytest.raises(DataError, match="no text"):
        list(cluster.ordered(store.make, [work], address="local"))


def test_ray_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UsageError) as caught:
        list(cluster.ordered(print, [1], address="local"))
    assert "cluster" in caught.value.attempt
