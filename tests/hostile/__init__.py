"""Hostile programs of our own: `PROGRAMS`."""

from tests.hostile.ducks import DUCKS
from tests.hostile.frames import FRAMES
from tests.hostile.handles import HANDLES
from tests.hostile.host import HOST
from tests.hostile.processes import PROCESSES
from tests.hostile.values import VALUES

PROGRAMS = [*DUCKS, *FRAMES, *HANDLES, *HOST, *PROCESSES, *VALUES]
