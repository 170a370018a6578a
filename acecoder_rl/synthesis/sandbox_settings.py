"""The recipe's `sandbox:` section: where and within which bounds programs run.

Covers: one machine, or all nodes of a Ray cluster.
Does not cover: the sandbox itself (acecoder_rl/sandbox/).
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from acecoder_rl.sandbox import Limits
from acecoder_rl.training.recipe import Above0, Positive, Section, Text

if TYPE_CHECKING:
    from acecoder_rl.sandbox.calls import Calls


class SandboxSettings(Section):
    """The sandbox.

    Attributes:
        workers: programs at once, on each node of a cluster; None = the cores granted.
        cluster: of Ray, to run on all its nodes: its address, "auto" = RAY_ADDRESS or the one on this machine;
            None = this machine alone.
        require: the least isolation.
        python: the interpreter that runs the programs; None = ours.
        preload: modules imported before a program starts.
        test_seconds, program_seconds: CPU time of a test, and of a program with all its tests; None, here and below
            = the sandbox's own.
        wall_seconds: the last resort.
        memory_mb: of a program.
    """

    workers: Positive | None = None
    cluster: Text | None = None
    require: Literal["namespaces", "landlock", "none"] = "namespaces"
    python: Text | None = None
    preload: list[Text] = Field(default_factory=list)
    test_seconds: Above0 | None = None
    program_seconds: Above0 | None = None
    wall_seconds: Above0 | None = None
    memory_mb: Annotated[int, Field(ge=16)] | None = None

    def decisive(self) -> dict[str, Any]:
        """What decides verdicts. Not how many programs run at once, nor where."""
        return self.model_dump(mode="json", exclude={"workers", "cluster", "require"})

    def open(self) -> Calls:
        """The sandbox, started; close it.

        Raises:
            SandboxError: this machine, or a node, cannot isolate as required.
        """
        names = {each.name for each in fields(Limits)}
        limits = Limits(**self.model_dump(include=names, exclude_none=True))
        options = {"require": self.require, "python": self.python, "preload": tuple(self.preload)}
        if self.cluster is None:
            from acecoder_rl.sandbox import Sandbox

            return Sandbox(self.workers, limits, **options)
        from acecoder_rl.sandbox.cluster import ClusterSandbox

        return ClusterSandbox(limits, workers_per_node=self.workers, address=self.cluster, **options)
