"""Nested values: taken apart and put together again."""

from __future__ import annotations

import json
from collections import OrderedDict, namedtuple

import pytest

from ppeffconv.utils.nested import leaves, rebuild, structure

Pair = namedtuple("Pair", "high low")


@pytest.mark.parametrize(
    ("value", "form", "values", "again"),
    [
        ("a", 0, ["a"], "a"),
        (["a", "b"], [0, 1], ["a", "b"], ["a", "b"]),
        (("a", None), [0, None], ["a"], ["a", None]),
        (Pair(None, "a"), [None, 0], ["a"], [None, "a"]),
        ({"x": "a", "y": ["b", ("c", None)]}, {"x": 0, "y": [1, [2, None]]}, ["a", "b", "c"], None),
        (OrderedDict(z="a", b={}), {"z": 0, "b": {}}, ["a"], {"z": "a", "b": {}}),
        (None, None, [], None),
        ([], [], [], []),
    ],
)
def test_apart_and_together(value, form, values, again):
    assert structure(value) == form
    assert leaves(value) == values
    again = {"x": "a", "y": ["b", ["c", None]]} if again is None and value is not None else again
    assert rebuild(json.loads(json.dumps(form)), values) == again
