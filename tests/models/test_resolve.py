from __future__ import annotations

import pytest

from loopwright.errors import ArgumentError
from loopwright.models.resolve import resolve

FACTORY = """
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3))

def number():
    return 3

def failing():
    return nn.Conv2d(3, 4)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FACTORY)
    return path


def test_registered_name_has_its_own_input_shape():
    assert resolve("resnet34").input_shape == (1, 3, 32, 32)


def test_given_input_shape_replaces_the_registered_one():
    assert resolve("resnet34", (8, 3, 64, 64)).input_shape == (8, 3, 64, 64)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ArgumentError, match=r"unknown model 'resnet35'; known: .*resnet34.*file\.py:factory"):
        resolve("resnet35")


def test_a_family_of_networks_is_listed_when_one_of_it_is_asked_for():
    with pytest.raises(
        ArgumentError, match=r"known: densenet161, .*, torchvision/\.\.\., nasbench201/\.\.\.; or your own"
    ) as plain:
        resolve("resnet35")
    assert "torchvision/resnet34" not in str(plain.value)
    with pytest.raises(ArgumentError, match=r"known: .*torchvision/resnet34, .*; or your own"):
        resolve("torchvision/resnet35")


def test_a_member_of_a_family_is_made_from_its_name():
    cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|"
    source = resolve(f"nasbench201/{cell}", (1, 3, 16, 16))
    assert (source.name, source.input_shape) == (f"nasbench201/{cell}", (1, 3, 16, 16))


def test_a_name_that_is_none_of_its_family():
    with pytest.raises(ArgumentError, match=r"'\|conv~0\|' is no cell of NAS-Bench-201; write it like \|nor_conv_3x3"):
        resolve("nasbench201/|conv~0|")


def test_factory_of_a_file(file):
    source = resolve(f"{file}:small", (1, 3, 8, 8))
    assert (source.name, source.input_shape) == ("small", (1, 3, 8, 8))
    assert len(source.build()) == 1


def test_factory_of_a_package():
    source = resolve("loopwright.models.sources.cifar:ResNet", (1, 3, 32, 32))
    assert source.name == "ResNet"


def test_own_factory_needs_an_input_shape(file):
    with pytest.raises(ArgumentError, match="needs the shape of its input, such as --input 1,3,32,32"):
        resolve(f"{file}:small")


def test_missing_function_lists_those_defined(file):
    with pytest.raises(ArgumentError, match="defines no function 'smal'; it defines: failing, number, small"):
        resolve(f"{file}:smal", (1, 3, 8, 8))


def test_missing_file():
    with pytest.raises(ArgumentError, match=r"there is no file nowhere\.py"):
        resolve("nowhere.py:small", (1, 3, 8, 8))


def test_missing_package():
    with pytest.raises(ArgumentError, match="No module named 'nowhere'"):
        resolve("nowhere.at.all:small", (1, 3, 8, 8))


def test_file_that_does_not_parse_names_the_line(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("x = 1\ny = = 2\n")
    with pytest.raises(ArgumentError, match=r"broken\.py:2: y = = 2: invalid syntax"):
        resolve(f"{path}:small", (1, 3, 8, 8))


def test_failing_factory_names_the_line(file):
    with pytest.raises(ArgumentError, match=r"mine\.py:11: return nn\.Conv2d\(3, 4\): .*kernel_size"):
        resolve(f"{file}:failing", (1, 3, 8, 8)).build()


def test_factory_must_return_a_module(file):
    with pytest.raises(ArgumentError, match=r"returns a int; it should return a torch\.nn\.Module"):
        resolve(f"{file}:number", (1, 3, 8, 8)).build()
