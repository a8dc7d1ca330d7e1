import os

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile(
    "house", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("house")


@pytest.fixture
def rng():
    return np.random.default_rng(20240601)
