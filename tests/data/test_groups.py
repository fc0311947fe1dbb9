"""Groups and duplicates: what is joined, and under which name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nevus.data.duplicates import duplicate_groups, exact_duplicates
from nevus.data.groups import connected_components, pairs_sharing

graphs = st.integers(1, 30).flatmap(
    lambda size: st.tuples(
        st.just(size), st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=40)
    )
)


@given(graphs)
def test_components_are_those_of_a_search_from_every_item(graph: tuple[int, list[tuple[int, int]]]) -> None:
    size, pairs = graph
    neighbours: list[set[int]] = [set() for _ in range(size)]
    for left, right in pairs:
        neighbours[left].add(right)
        neighbours[right].add(left)
    expected = []
    for item in range(size):
        reached, frontier = {item}, [item]
        while frontier:
            new = neighbours[frontier.pop()] - reached
            reached |= new
            frontier += new
        expected.append(min(reached))
    assert connected_components(size, pairs) == expected


@given(st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=30))
def test_equal_keys_join_and_empty_ones_do_not(keys: list[str]) -> None:
    components = connected_components(len(keys), pairs_sharing(keys))
    for i, left in enumerate(keys):
        for j, right in enumerate(keys):
            assert (components[i] == components[j]) == (i == j or (left == right != ""))


def test_a_long_chain_needs_no_recursion() -> None:
    size = 100_000
    assert set(connected_components(size, ((item, item + 1) for item in range(size - 1)))) == {0}


def test_duplicates_join_through_files_and_pixels_and_singles_have_no_group() -> None:
    # 0 and 2 share the file, 2 and 3 the pixels; 1 is alone.
    pairs = exact_duplicates(["f0", "f1", "f0", "f3"], ["p0", "p1", "p0", "p0"])
    assert duplicate_groups(["a", "b", "c", "d"], pairs) == ["a", "", "a", "a"]
