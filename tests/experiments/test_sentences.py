"""A sentence of bounded length still names what the reader needs."""

from experiments import sentences


def test_long_valid_names_leave_room_for_the_path() -> None:
    folder = "/home/somebody/" + "deep/" * 15 + "outputs"
    names = [f"schedule.epochs={number} " + "dataset.train_images=16 " * 20 for number in range(30)]
    line = sentences.sentence(f"no trial of sweep 'table9' in {folder}{sentences.choose_from('table9', names)}")
    assert folder in line
    assert "there are 30, such as schedule.epochs=0 " in line


def test_near_names_of_a_long_list_are_preferred() -> None:
    names = [f"variant{number:03}" for number in range(100)]
    assert sentences.choose_from("variant07", names).startswith(" (did you mean variant0")
    assert "; there are 100, such as variant0" in sentences.choose_from("variant07", names)
