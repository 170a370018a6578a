"""A zygote at each isolation level, as root and as an ordinary user."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.jails import KINDS, Driver, open_folder, start


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def jail(request: pytest.FixtureRequest) -> Iterator[Driver]:
    with open_folder() as scratch:
        driver = start(request.param, scratch)
        yield driver
        driver.close()
