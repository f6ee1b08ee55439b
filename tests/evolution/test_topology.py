import pytest

from evotune.errors import AlgorithmError
from evotune.evolution.topology import TOPOLOGIES, find_topology, full, grid, ring, star


def test_ring():
    assert ring(2) == ((1,), (0,))
    assert ring(4) == ((1,), (2,), (3,), (0,))


def test_star():
    assert star(2) == ((1,), (0,))
    assert star(4) == ((1, 2, 3), (0,), (0,), (0,))


def test_full():
    assert full(3) == ((1, 2), (0, 2), (0, 1))


class TestGrid:
    def test_four_neighbours_on_a_torus(self):
        neighbours = grid(12)  # 0 1 2 3 / 4 5 6 7 / 8 9 10 11
        assert neighbours[5] == (1, 4, 6, 9)
        assert neighbours[0] == (1, 3, 4, 8)
        assert neighbours[11] == (3, 7, 8, 10)

    def test_as_near_to_a_square_as_can_be(self):
        assert grid(16)[5] == (1, 4, 6, 9)
        assert grid(15)[6] == (1, 5, 7, 11)  # 3 rows of 5

    def test_rows_of_two_name_a_neighbour_once(self):
        assert grid(4) == ((1, 2), (0, 3), (0, 3), (1, 2))
        assert grid(6)[4] == (1, 3, 5)

    @pytest.mark.parametrize("n", [2, 3, 7])
    def test_a_prime_number_is_a_ring_both_ways(self, n):
        assert grid(n) == tuple(tuple(sorted({(k - 1) % n, (k + 1) % n})) for k in range(n))

    @pytest.mark.parametrize("n", range(2, 26))
    def test_whoever_sends_receives(self, n):
        neighbours = grid(n)
        assert all(k in neighbours[j] for k, row in enumerate(neighbours) for j in row)


@pytest.mark.parametrize("name", list(TOPOLOGIES))
@pytest.mark.parametrize("n", range(2, 14))
def test_every_island_is_reached_from_every_other(name, n):
    neighbours = find_topology(name, n)
    assert len(neighbours) == n
    assert all(k not in row and len(set(row)) == len(row) for k, row in enumerate(neighbours))
    for start in range(n):
        reached, front = {start}, [start]
        while front:
            new = set(neighbours[front.pop()]) - reached
            reached |= new
            front += new
        assert reached == set(range(n))


def test_a_topology_of_ones_own():
    assert find_topology(lambda n: [[n - 1], [], [0, 1]], 3) == ((2,), (), (0, 1))


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        ("rings", "no topology 'rings'; did you mean 'ring'"),
        ("xyz", "no topology 'xyz'. Known: ring, star, full, grid"),
        (3, "no topology 3"),
        (lambda n: [[1], [2], [3]], r"island 2 of 3 must send .* from 0 to 2; got \(3,\)"),
        (lambda n: [[1], [1], [0]], "island 1 of 3 must send to other islands"),
        (lambda n: [[1, 1], [2], [0]], r"each named once .* got \(1, 1\)"),
        (lambda n: [[1], [0]], "there are 3 islands, so it must return 3 tuples; got 2"),
    ],
)
def test_bad_topologies(topology, message):
    with pytest.raises(AlgorithmError, match=message):
        find_topology(topology, 3)


@pytest.mark.parametrize("name", list(TOPOLOGIES))
def test_one_island_has_no_neighbour(name):
    with pytest.raises(AlgorithmError, match=f"{name}: n must be a whole number from 2 up"):
        find_topology(name, 1)
