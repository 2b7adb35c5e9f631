"""What algoshelf asks of every algorithm, a case a check; add what you ask of yours."""

from algoshelf.core.conformance import conformance_tests
from algoshelf.registry import catalog
from my_algorithm import MyAlgorithm

test_conformance = conformance_tests(MyAlgorithm)


def test_it_is_in_the_catalog():
    assert isinstance(catalog().get("my-algorithm").algorithm, MyAlgorithm)
