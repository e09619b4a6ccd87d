"""What all tests share: third parties' warnings that no one here can act on are not shown."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # torch's own modules still use torch.jit, and say so once per use at import
    config.addinivalue_line("filterwarnings", "ignore:`torch.jit:DeprecationWarning")
