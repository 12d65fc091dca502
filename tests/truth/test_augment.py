"""The deformation field: identity, image and mask together, magnitudes, determinism."""

import math

import pytest
import torch

from probunet.config import Augmentation
from probunet.truth.augment import Deformation, deform, draw_deformation, sampling_field

NONE = Augmentation(rotation=0.0, shear=0.0, scale=0.0, elastic=0.0)


def _deformation(middle: float = 0.5, angle: float = 0.0, scale: float = 1.0) -> Deformation:
    c, s = math.cos(angle), math.sin(angle)
    affine = torch.tensor([[[c, -s], [s, c]]]) * scale
    return Deformation(affine, torch.full((1, 2), middle), torch.zeros(1, 2, 3, 3))


def _pictures(size: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, size, size, generator=generator)
    return image, (image > 0.5).float()


def test_identity_is_the_central_crop():
    image, mask = _pictures()
    out, seen = deform(image[:, None], mask, sampling_field(_deformation(), (40, 40), (16, 16)))
    torch.testing.assert_close(out[:, 0], image[:, 12:28, 12:28], atol=1e-5, rtol=0)
    assert torch.equal(seen, mask[:, 12:28, 12:28].long())


def test_without_magnitudes_it_is_a_plain_crop_and_reaches_every_corner():
    image, mask = _pictures(20)
    generator = torch.Generator().manual_seed(1)
    corners = set()
    for _ in range(300):
        field = sampling_field(draw_deformation(NONE, 1, (16, 16), generator), (20, 20), (16, 16))
        x, y = field[0, 0, 0].round().int().tolist()
        corners.add((x, y))
        out, seen = deform(image[:, None], mask, field)
        expected = image[:, y : y + 16, x : x + 16]
        torch.testing.assert_close(out[:, 0], expected, atol=1e-5, rtol=0)
        assert torch.equal(seen, (expected > 0.5).long())
    assert corners == {(x, y) for x in range(5) for y in range(5)}


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_quarter_turns(quarter):
    image, mask = _pictures(16)
    field = sampling_field(_deformation(angle=quarter * math.pi / 2), (16, 16), (16, 16))
    out, seen = deform(image[:, None], mask, field)
    turned = torch.rot90(image, quarter, dims=(1, 2))
    torch.testing.assert_close(out[:, 0], turned, atol=1e-4, rtol=0)
    assert torch.equal(seen, (turned > 0.5).long())


def test_several_labels_of_an_image_move_like_each_of_them():
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(2, 1, 40, 30, generator=generator)
    labels = torch.randint(5, (2, 3, 40, 30), generator=generator).float()
    size = (16, 24)
    field = sampling_field(draw_deformation(Augmentation(), 2, size, generator), (40, 30), size)
    moved, together = deform(image, labels, field, outside=7)
    assert together.shape == (2, 3, *size)
    for one, label in zip(together.unbind(1), labels.unbind(1), strict=True):
        again, alone = deform(image, label, field, outside=7)
        assert torch.equal(one, alone)
        assert torch.equal(moved, again)


def test_image_and_mask_move_together():
    y, x = torch.meshgrid(torch.arange(180.0), torch.arange(180.0), indexing="ij")
    ramp = torch.stack([x, y])  # read along the field, it gives the field
    generator = torch.Generator().manual_seed(3)
    field = sampling_field(
        draw_deformation(Augmentation(), 2, (128, 128), generator), (180, 180), (128, 128)
    )
    image, _ = deform(ramp[:, None], torch.zeros_like(ramp), field)
    inside = field.clamp(0, 179)
    torch.testing.assert_close(image[0, 0], inside[0, ..., 0], atol=1e-2, rtol=0)
    torch.testing.assert_close(image[1, 0], inside[1, ..., 1], atol=1e-2, rtol=0)

    disc = ((x - 89.5).square() + (y - 89.5).square() < 30**2).float().expand(2, 180, 180)
    image, mask = deform(disc[:, None], disc, field)
    sure = (image[:, 0] < 0.01) | (image[:, 0] > 0.99)
    assert sure.float().mean() > 0.9
    assert torch.equal(mask[sure], image[:, 0][sure].round().long())


def test_outside_the_stored_crop_the_mask_is_empty_and_the_image_goes_on():
    ones = torch.ones(1, 16, 16)
    image, mask = deform(
        ones[:, None], ones, sampling_field(_deformation(scale=2.0), (16, 16), (16, 16))
    )
    assert mask[0, 0, 0] == 0
    assert mask[0, 8, 8] == 1
    torch.testing.assert_close(image, torch.ones_like(image))


def test_the_square_stays_inside_where_it_can():
    settings = Augmentation(elastic=0.0, scale=0.05, rotation=10.0, shear=2.0)
    deformation = draw_deformation(settings, 200, (128, 128), torch.Generator().manual_seed(0))
    field = sampling_field(deformation, (180, 180), (128, 128))
    assert field.min() >= -0.01
    assert field.max() <= 179.01
    middle = field.mean(dim=(1, 2))
    assert middle.std(dim=0).min() > 3  # and is moved about


def test_a_small_crop_keeps_the_lesion():
    deformation = draw_deformation(NONE, 100, (32, 32), torch.Generator().manual_seed(0))
    middle = sampling_field(deformation, (180, 180), (32, 32)).mean(dim=(1, 2)) - 89.5
    assert middle.abs().max().item() == 8


def test_elastic_has_the_asked_size_and_is_smooth():
    settings = NONE.model_copy(update={"elastic": 2.0})
    still = draw_deformation(NONE, 64, (128, 128), torch.Generator().manual_seed(4))
    moved = draw_deformation(settings, 64, (128, 128), torch.Generator().manual_seed(4))
    shift = sampling_field(moved, (180, 180), (128, 128)) - sampling_field(
        still, (180, 180), (128, 128)
    )
    assert 1.0 < shift.std().item() < 2.5
    assert shift.diff(dim=1).abs().max() < 1.0


def test_same_generator_same_deformation():
    one, other = (
        draw_deformation(Augmentation(), 3, (64, 64), torch.Generator().manual_seed(9))
        for _ in "ab"
    )
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
