import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from probunet.metrics.bits import mask_dtype, pack, pack_graders, unpack, words


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32))
@settings(deadline=None, max_examples=50)
def test_unpack_undoes_pack(height, width, seed):
    masks = np.random.default_rng(seed).random((2, 3, height, width)) < 0.5
    packed = pack(masks)
    assert packed.shape[-1] % 8 == 0
    np.testing.assert_array_equal(unpack(packed, height, width), masks)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32))
@settings(deadline=None, max_examples=50)
def test_words_hold_as_many_bits_as_the_mask(height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    assert np.bitwise_count(words(pack(mask))).sum() == mask.sum()


@given(st.integers(1, 32), st.integers(0, 2**32))
@settings(deadline=None, max_examples=50)
def test_as_many_graders_as_there_may_be_have_a_bit_each(graders, seed):
    masks = np.random.default_rng(seed).random((2, graders, 3, 5)) < 0.5
    bits = np.zeros((2, 3, 5), mask_dtype(graders))
    for g in range(graders):
        bits |= masks[:, g].astype(bits.dtype) << g
    np.testing.assert_array_equal(unpack(pack_graders(bits, range(graders)), 3, 5), masks)


def test_bit_g_is_grader_g():
    masks = np.array([[[0b0001, 0b1010]]], np.uint8)
    graders = unpack(pack_graders(masks), 1, 2)
    np.testing.assert_array_equal(graders[0, :, 0], [[1, 0], [0, 1], [0, 0], [0, 1]])
