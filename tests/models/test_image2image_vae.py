"""A fixed prior, and a posterior that sees the segmentation alone."""

import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference

from probunet.models import build
from probunet.models.image2image_vae import Image2ImageVAE
from probunet.models.segmentation import as_input


def model() -> Image2ImageVAE:
    shared = {"channels": (6, 8), "convolutions": 1, "initialisation": "he"}
    net = build("image2image_vae", {**shared, "latent_dim": 2}, classes=3)
    assert isinstance(net, Image2ImageVAE)
    return net


def test_kl_to_the_standard_normal_as_torch_has_it_whatever_the_image() -> None:
    net, mask = model(), torch.randint(3, (4, 8, 8), generator=torch.Generator().manual_seed(1))
    q = net.posterior(as_input(mask, 3, torch.float32))
    expected = reference(Normal(q.mean, q.log_sigma.exp()), Normal(0.0, 1.0)).sum(dim=1).mean()
    for image in (torch.zeros(4, 1, 8, 8), torch.rand(4, 1, 8, 8)):
        loss = net.loss(image, mask, beta=1.0, generator=torch.Generator())
        torch.testing.assert_close(loss.kl, expected)


def test_z_reaches_every_pixel_and_the_prior_is_standard() -> None:
    net, image = model(), torch.rand(1, 1, 8, 8)
    z = torch.zeros(1, 2, requires_grad=True)
    logits = net.decode(image, z)
    for pixel in ((0, 0), (7, 3)):
        (gradient,) = torch.autograd.grad(logits[0, 0][pixel], z, retain_graph=True)
        assert gradient.abs().min() > 0
    drawn = net.draw(image, 2, [torch.Generator()])
    assert drawn.prior_mean is not None
    assert drawn.prior_log_sigma is not None
    assert not drawn.prior_mean.any()
    assert not drawn.prior_log_sigma.any()
    assert torch.equal(drawn.deterministic, logits.argmax(dim=1).to(torch.uint8))


def test_a_reconstruction_is_at_the_posterior_s_mean() -> None:
    net, image = model(), torch.rand(2, 1, 8, 8)
    masks = torch.randint(3, (2, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    found = net.reconstruct(image, masks)
    for grader, mask in enumerate(masks.unbind(1)):
        mean = net.posterior(as_input(mask, 3, torch.float32)).mean
        assert torch.equal(found[:, grader].long(), net.decode(image, mean).argmax(dim=1))
