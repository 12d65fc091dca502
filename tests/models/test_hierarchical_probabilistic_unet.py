"""Latent maps from coarse to fine, and their KL."""

import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference

from probunet.config import Settings
from probunet.models import build, outline
from probunet.models.hierarchical_probabilistic_unet import HierarchicalProbabilisticUNet
from probunet.models.segmentation import as_input

ANY = {"in_channels": 1, "classes": 2, "most": 10**6}


def model(
    channels: tuple[int, ...] = (4, 6, 8), latent_scales: int = 2, objective: str = "elbo"
) -> HierarchicalProbabilisticUNet:
    shared = {"channels": channels, "convolutions": 2, "initialisation": "he"}
    own = {"latent_scales": latent_scales, "blocks": 2, "objective": objective}
    geco = {"kappa": 0.05, "hard": 0.1, "decay": 0.9}
    net = build("hierarchical_probabilistic_unet", {**shared, **own, **geco})
    assert isinstance(net, HierarchicalProbabilisticUNet)
    return net


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(3, 1, 8, 16, generator=generator), torch.randint(
        2, (3, 8, 16), generator=generator
    )


def noise_of(*shapes: tuple[int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(3, 1, *shape, generator=generator) for shape in shapes]


def test_kl_is_summed_over_scales_and_pixels_as_torch_has_it() -> None:
    net, (image, mask) = model(), batch()
    noise = noise_of((2, 4), (4, 8))
    posterior, prior = net.encode_and_decode(image, mask, noise)
    expected = torch.zeros(3)
    for q, p in zip(posterior.distributions, prior.distributions, strict=True):
        kl = reference(
            Normal(q.mean, q.log_sigma.exp()),
            Normal(p.mean, p.log_sigma.exp()),
        )
        expected = expected + kl.sum(dim=(1, 2, 3))
    torch.testing.assert_close(net(image, mask, noise)[1], expected.mean())


def test_the_prior_is_asked_at_the_posterior_s_maps() -> None:
    net, (image, mask) = model(), batch()
    noise = noise_of((2, 4), (4, 8))
    posterior, prior = net.encode_and_decode(image, mask, noise)
    for i, q in enumerate(posterior.distributions):
        torch.testing.assert_close(posterior.maps[i], q.mean + q.log_sigma.exp() * noise[i])
        assert torch.equal(prior.maps[i], posterior.maps[i])


def test_finer_maps_depend_on_coarser_ones_and_not_the_other_way() -> None:
    net, (image, _) = model(), batch()
    features = net.prior.encode(image)

    def priors(coarse: float, fine: float) -> list[torch.Tensor]:
        values = (coarse, fine)
        decoded = net.prior.decode(features, lambda i, p: torch.full_like(p.mean, values[i]))
        return [p.mean for p in decoded.distributions]

    base, other_coarse, other_fine = priors(0, 0), priors(1, 0), priors(0, 1)
    assert torch.equal(base[0], other_coarse[0])
    assert not torch.allclose(base[1], other_coarse[1])
    assert torch.equal(base[1], other_fine[1])


def test_by_default_the_network_is_the_release_s() -> None:
    """Eight scales, and latent maps of 1, 2, 4 and 8 pixels a side: 85 latents."""
    architecture = Settings().architecture_of("hierarchical_probabilistic_unet")
    net = outline("hierarchical_probabilistic_unet", architecture, **ANY)
    assert isinstance(net, HierarchicalProbabilisticUNet)
    shapes = [
        noise.shape[1:] for noise in net.noise(1, torch.empty(1, 1, 128, 128), torch.Generator())
    ]
    assert shapes == [(1, 1, 1), (1, 2, 2), (1, 4, 4), (1, 8, 8)]
    for part in (net.prior, net.posterior):
        assert [len(blocks) for blocks in part.encoder] == [3] * 8
        widths = [blocks[0].widen.out_channels for blocks in part.encoder]
        assert widths == [24, 48, 96, 192, 192, 192, 192, 192]
        halves = [layer.out_channels for layer in part.encoder[0][0].convolutions]
        assert halves == [12, 12, 12]
    # the posterior's decoder ends at the finest latent map
    assert (len(net.prior.decoder), len(net.posterior.decoder)) == (7, 3)


def test_a_coarsest_map_of_several_pixels_is_told() -> None:
    assert model().remark(4, 4) is None
    assert "coarsest latent map is 2x4 pixels" in str(model().remark(8, 16))


def test_the_first_samples_do_not_depend_on_how_many_are_drawn() -> None:
    net, (image, _) = model(), batch()
    for head in net.prior.heads:
        torch.nn.init.constant_(head.bias, 2.0)  # noise decides
    few, many = (
        net.draw(image, n, [torch.Generator().manual_seed(i) for i in range(3)]).samples
        for n in (3, 10)
    )
    assert torch.equal(few, many[:3])
    assert not torch.equal(few[0], few[1])


def test_a_reconstruction_takes_the_posterior_s_mean_on_every_scale() -> None:
    net, (image, mask) = model(), batch()
    masks = torch.stack([mask, 1 - mask], dim=1)
    found = net.reconstruct(image, masks)
    for grader, one in enumerate(masks.unbind(1)):
        seen = torch.cat([image, as_input(one, 2, image.dtype)], dim=1)
        maps = net.posterior.decode(net.posterior.encode(seen), lambda i, q: q.mean).maps
        prior = net.prior.decode(net.prior.encode(image), lambda i, p, maps=maps: maps[i])
        assert torch.equal(found[:, grader].long(), net.logits(prior.features).argmax(dim=1))


def test_the_deterministic_segmentation_takes_the_mean_on_every_scale() -> None:
    net, (image, _) = model(), batch()
    decoded = net.prior.decode(net.prior.encode(image), lambda i, p: p.mean)
    expected = net.logits(decoded.features).argmax(dim=1)
    drawn = net.draw(image, 1, [torch.Generator() for _ in image])
    assert torch.equal(drawn.deterministic.long(), expected)


def test_the_elbo_sums_all_pixels_and_geco_weighs_the_hard_ones() -> None:
    (image, mask), generator = batch(), torch.Generator()
    bound = model().loss(image, mask, beta=2.0, generator=generator.manual_seed(0))
    torch.testing.assert_close(bound.total, bound.reconstruction + 2 * bound.kl)
    net = model(objective="geco")
    constrained = net.loss(image, mask, beta=2.0, generator=generator.manual_seed(0))
    torch.testing.assert_close(constrained.reconstruction, bound.reconstruction)
    torch.testing.assert_close(constrained.kl, bound.kl)
    assert net.geco is not None
    # at the start the multiplier is 1 and the moving average this batch's
    torch.testing.assert_close(constrained.total, net.geco.average + 2 * bound.kl)


def test_geco_s_state_is_saved_with_the_weights() -> None:
    net, other = model(objective="geco"), model(objective="geco")
    image, mask = batch()
    for _ in range(3):
        net.loss(image, mask, beta=1.0, generator=torch.Generator())
    other.load_state_dict(net.state_dict())
    losses = [
        one.loss(image, mask, beta=1.0, generator=torch.Generator()).total for one in (net, other)
    ]
    assert torch.equal(*losses)
