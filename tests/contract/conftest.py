"""The rules are asserted in a module of their own; pytest explains what fails there too."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contract.suite")
