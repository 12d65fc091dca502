from probunet.seeding import numpy_generator, seed_of


def test_every_part_matters_and_nothing_else():
    seeds = {
        seed_of(seed, purpose, step)
        for seed in range(3)
        for purpose in ("batch", "sample")
        for step in range(3)
    }
    assert len(seeds) == 18
    assert all(0 <= seed < 2**63 for seed in seeds)
    # fixed for ever: published numbers depend on it
    assert seed_of(0, "batch", 0) == seed_of(0, "batch")
    assert numpy_generator(1, "a").random() == numpy_generator(1, "a").random()
