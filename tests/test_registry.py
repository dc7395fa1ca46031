"""The registry and its suggestions."""

from __future__ import annotations

import pytest

from ppeffconv.registry import Registry, check_arguments, check_names, did_you_mean


@pytest.fixture
def models():
    registry = Registry("model")
    for name in ("resnet101", "resnet18", "sp_resnet18", "vgg16"):
        registry.register(name)(lambda: None)
    return registry


def test_register_under_its_own_or_a_given_name():
    registry = Registry("thing")

    @registry.register("other")
    @registry.register()
    def thing():
        return 3

    assert registry.get("thing") is registry.get("other") is thing
    assert thing() == 3
    assert "thing" in registry
    assert "nothing" not in registry


def test_a_name_is_taken_once(models):
    with pytest.raises(ValueError, match="model 'vgg16' is already registered"):
        models.register("vgg16")(lambda: None)


def test_list_in_natural_order(models):
    assert models.list() == ["resnet18", "resnet101", "sp_resnet18", "vgg16"]
    assert models.list("*resnet18") == ["resnet18", "sp_resnet18"]
    assert models.list("RESNET*") == []


def test_an_unknown_name_suggests_the_nearest(models):
    with pytest.raises(
        ValueError, match=r"unknown model 'resnet81'\. Did you mean 'resnet18'\? Known: resnet18, resnet101"
    ):
        models.get("resnet81")
    with pytest.raises(ValueError, match=r"unknown model 'zzz'\. Known:"):
        models.get("zzz")


@pytest.mark.parametrize("name", [None, 3])
def test_a_name_that_is_no_text(models, name):
    with pytest.raises(ValueError, match="unknown model"):
        models.get(name)


def test_did_you_mean():
    assert did_you_mean("ratoi", ["alpha", "ratio"]) == " Did you mean 'ratio'?"
    assert did_you_mean("x", ["alpha", "ratio"]) == ""


def test_check_names():
    check_names(["a"], ["a", "b"], "model 'm'")
    with pytest.raises(
        ValueError, match=r"model 'm' has no argument 'alhpa'\. Did you mean 'alpha'\? It takes: alpha, ratio"
    ):
        check_names(["alhpa"], ["alpha", "ratio"], "model 'm'")
    with pytest.raises(ValueError, match=r"has no argument 'x'\. It takes none\."):
        check_names(["x"], [], "model 'm'")


def test_check_arguments():
    class Layer:
        def __init__(self, width, depth=3):
            pass

    check_arguments(Layer, ["width", "depth"], "layer")
    check_arguments(lambda **anything: None, ["x"], "layer")
    with pytest.raises(ValueError, match=r"layer has no argument 'widht'\. Did you mean 'width'\?"):
        check_arguments(Layer, ["widht"], "layer")
