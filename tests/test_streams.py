import torch

from monosema.streams import SideStream, on_its_way, pinned, sent

CPU = torch.device("cpu")


def test_without_a_gpu_everything_is_there_at_once_and_in_order():
    x, side = torch.arange(5.0), SideStream(CPU)
    side.uses([x])
    with side.behind():
        x.mul_(2)
    side.join()
    (y, z), made = on_its_way([x, x > 4])
    assert made is None
    assert y.tolist() == [0, 2, 4, 6, 8]
    assert z.tolist() == [False, False, False, True, True]


def test_what_is_not_for_a_gpu_is_not_pinned():
    x = torch.arange(5)
    assert pinned(x, CPU) is x
    assert sent(x, CPU) is x
