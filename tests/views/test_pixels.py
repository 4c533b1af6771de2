"""Raw images as the 8-bit pictures that libraries' transforms are written for."""

import numpy as np
import pytest
import torch
from PIL import Image

from modelstitch.errors import DataError
from modelstitch.views.pixels import as_bytes, as_usual, coloured, each_image, in_threads, picture, stacked

BYTES = torch.randint(0, 256, (2, 3, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_grey_is_pillows_to_the_last_bit():
    wanted = np.array(Image.fromarray(BYTES[0].permute(1, 2, 0).numpy()).convert("L"))
    assert np.array_equal(coloured(BYTES, 1)[0, 0].numpy(), wanted)
    near = coloured(BYTES.float() / 255, 1)[0, 0] * 255
    assert np.abs(near.numpy() - wanted).max() <= 1


def test_other_numbers_of_channels():
    grey = BYTES[:, :1]
    assert torch.equal(coloured(grey, 3), grey.repeat(1, 3, 1, 1))
    assert coloured(BYTES, 3) is BYTES
    with pytest.raises(DataError, match="The network takes 4 channels, found images with 3: expected 1 or 4"):
        coloured(BYTES, 4)


def test_floats_are_rounded_as_in_image_files():
    assert torch.equal(as_bytes(BYTES.float() / 255)[1], BYTES[1])
    assert torch.equal(as_bytes(list(BYTES))[0], BYTES[0])
    edge = torch.tensor([-1e-5, 0.5 / 255 + 1e-6, 1 + 1e-5]).view(1, 1, 1, 3)
    assert as_bytes(edge)[0].flatten().tolist() == [0, 1, 255]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.randn(2, 3, 4, 4) * 3, r"The images hold values from .*: expected raw ones, in \[0, 1\] or uint8"),
        (torch.full((1, 1, 2, 2), float("nan")), "The images hold values from nan to nan"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.int64), "The images are of type torch.int64: expected uint8"),
        (torch.zeros(3, 4, 4), r"Images are expected as a tensor \(n, channels, height, width\): found \(3, 4, 4\)"),
        ({"image": BYTES}, "found dict"),
    ],
)
def test_other_values_are_refused(images, words):
    with pytest.raises(DataError, match=words):
        as_bytes(images)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_a_picture_shows_the_pixels(channels, mode):
    image = torch.randint(0, 256, (channels, 5, 4), dtype=torch.uint8)
    found = picture(image)
    assert found.mode == mode
    assert found.size == (4, 5)
    assert np.array_equal(np.array(found).reshape(5, 4, channels), image.permute(1, 2, 0).numpy())


def test_two_channels_make_no_picture():
    with pytest.raises(DataError, match="Images of 2 channels make no picture: expected 1, 3 or 4"):
        picture(torch.zeros(2, 4, 4, dtype=torch.uint8))


def test_a_batch_or_a_list_gives_each_image():
    assert len(each_image(BYTES)) == 2
    several = [torch.zeros(3, 2, 2), torch.zeros(3, 4, 4)]
    assert each_image(several) is several


def test_tensors_are_usual_meanwhile():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"), as_usual():
            made = torch.zeros(1)
        assert (made.dtype, made.device.type) == (torch.float32, "cpu")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(before)


def test_threads_keep_the_order():
    assert in_threads(lambda n: n * n, list(range(100))) == [n * n for n in range(100)]


def test_images_of_two_sizes_make_no_batch():
    assert stacked([torch.zeros(1, 2, 2)] * 3, "The view").shape == (3, 1, 2, 2)
    with pytest.raises(
        DataError, match=r"The view gives images of 2 sizes, \(1, 2, 2\) and \(1, 3, 3\) among them: expected one"
    ):
        stacked([torch.zeros(1, 2, 2), torch.zeros(1, 3, 3)], "The view")
