"""Names of devices: what the setting may say, and what a request may ask for."""

import pytest

from app.errors import Unprocessable
from app.pool.devices import chosen_devices, find_device


def test_the_setting_names_devices_and_an_index_may_be_left_out():
    assert chosen_devices("cpu:0, cpu:1") == ["cpu:0", "cpu:1"]
    assert chosen_devices("cuda") == ["cuda:0"]


@pytest.mark.parametrize("setting", ["", "gpu:0", "cpu:0,cpu:0", "cpu:-1", "cpu:0x1", "cuda:99999", "cpu:00"])
def test_a_setting_that_names_no_devices_is_refused(setting):
    with pytest.raises(ValueError, match="MODEL_LAB_DEVICES"):
        chosen_devices(setting)


PRESENT = ["cuda:0", "cuda:1", "cpu:0"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [(None, "cuda:0"), ("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu:0")],
)
def test_a_present_device_is_found_by_its_names(wanted, found):
    assert find_device(wanted, PRESENT) == found


def test_an_absent_device_is_refused_with_a_list_of_those_present():
    with pytest.raises(Unprocessable) as caught:
        find_device("cuda:7", PRESENT, pointer="/device")
    assert caught.value.code == "unknown-device"
    assert caught.value.places[0].pointer == "/device"
    assert all(device in caught.value.detail for device in PRESENT)


def test_with_fallback_an_absent_device_becomes_the_cpu():
    assert find_device("cuda:7", PRESENT, fallback=True) == "cpu:0"


def test_auto_is_the_device_of_the_firsts_type_with_the_fewest_bytes():
    placed = {"cuda:0": 500, "cuda:1": 300}
    assert find_device("auto", PRESENT, placed=placed) == "cuda:1"
    assert find_device(None, PRESENT, placed=placed) == "cuda:0"
    assert find_device("auto", ["cpu:0", "cpu:1"], placed={"cpu:0": 1}) == "cpu:1"
