"""The tiny reward model of tests/reward_model, for rewards that ask one."""

from tests.reward_model.conftest import tiny_rm  # noqa: F401
