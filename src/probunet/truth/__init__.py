"""Ground truth of an image: masks of several graders, or 32 modes of known probability."""
