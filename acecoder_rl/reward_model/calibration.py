"""Mean and standard deviation of a reward model's scores, measured on data and kept beside the model.

Covers: `calibrate` (scores a file of answers or of preference pairs), `Calibration`, `read_calibration`; the same
    two numbers in a sequence classifier's config.json, where OpenRLHF looks for them.
Does not cover: what is done with them (`Mixed` in reward_fns/mixed.py), the scores themselves (scoring.py).

A calibration belongs to one model and one prompt format: scores of the two formats are not on one scale.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acecoder_rl.cases import shown
from acecoder_rl.records import InputError

if TYPE_CHECKING:
    from acecoder_rl.reward_model.scoring import RewardScorer

FILE = "calibration.json"
VERSION = 1
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
# Below this share of the mean a deviation is the rounding of fp32: dividing by it would turn noise into rewards.
NOISE = 1e-6


class CalibrationError(ValueError):
    """No usable calibration: the message names the file, what is wrong, and the mend."""


@dataclass(frozen=True)
class Calibration:
    """How a reward model's scores lie; `Mixed` takes `mean` and `std`.

    Attributes:
        mean, std: of the scores as `RewardScorer` gives them, the head's bias included; std of a sample (n - 1).
        count: scores that were measured.
        format: the prompt format they hold for, "raw" or "acecode".
        low, high: the least and the greatest score.
        quantiles: "0.05" -> score, linear between the two nearest.
        flags: how many scores were unusual, by flag ("too_long", ...); they count too.
        data: the file's name.
        data_sha256: of its bytes.
    """

    mean: float
    std: float
    count: int
    format: str
    low: float
    high: float
    quantiles: dict[str, float] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    data: str = ""
    data_sha256: str = ""

    @classmethod
    def of(cls, scores: Sequence[float], format: str, **about: Any) -> Calibration:
        """The calibration of these scores; `about` are the remaining attributes.

        Raises:
            CalibrationError: fewer than two scores, one that is not finite, or all of them alike.
        """
        if len(scores) < 2:
            raise CalibrationError(f"{len(scores)} score(s) have no standard deviation: calibrate on more rows")
        for number, score in enumerate(scores):
            if not math.isfinite(score):
                raise CalibrationError(f"score {number} is {score}: the reward model is damaged")
        ordered = sorted(map(float, scores))
        mean, std = statistics.fmean(ordered), statistics.stdev(ordered)
        if std <= NOISE * max(1.0, abs(mean)):
            raise CalibrationError(
                f"all {len(scores)} scores are {mean:g}: nothing can be normalised by a standard deviation of 0; are "
                "the answers all alike, or is the value head empty?"
            )
        quantiles = {str(share): _quantile(ordered, share) for share in QUANTILES}
        return cls(mean, std, len(ordered), format, ordered[0], ordered[-1], quantiles, **about)


def read_calibration(path: str | Path) -> Calibration:
    """A model's calibration.

    Args:
        path: the model's folder, or the file itself.

    Raises:
        CalibrationError: there is none, or it is not one.
    """
    file = Path(path)
    file = file / FILE if file.is_dir() else file
    try:
        record = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise CalibrationError(
            f"{file} is not there: write it with `acecoder-rl convert-rm {file.parent} --calibrate FILE`"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CalibrationError(f"{file} cannot be read ({error}): calibrate again") from None
    if not isinstance(record, dict) or record.pop("version", None) != VERSION:
        raise CalibrationError(f"{file} is no calibration of version {VERSION}: calibrate again")
    try:
        calibration = Calibration(**record)
    except TypeError as error:
        raise CalibrationError(f"{file} is not a calibration ({error}): calibrate again") from None
    for name in ("mean", "std", "low", "high", "count"):
        value = getattr(calibration, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise CalibrationError(f"{file}: {name} is {shown(value)}, not a number: calibrate again")
    if calibration.std <= 0 or calibration.count < 2:
        raise CalibrationError(
            f"{file}: std is {calibration.std:g} over {calibration.count} scores, which normalises nothing: calibrate "
            "again"
        )
    return calibration


def write_calibration(folder: Path, calibration: Calibration, head_bias: float | None = None) -> None:
    """Put a calibration into a model's folder.

    Args:
        head_bias: of a sequence classifier: `mean` and `std` go into its config.json as well. OpenRLHF normalises by
            them, but drops the head's bias, so that the mean there is less by it. None for the AceCodeRM layout,
            which OpenRLHF cannot load.
    """
    _write(folder / FILE, {"version": VERSION, **asdict(calibration)})
    if head_bias is not None:
        file = folder / "config.json"
        config = json.loads(file.read_bytes())
        _write(file, config | {"mean": calibration.mean - head_bias, "std": calibration.std})


def calibrate(
    folder: Path,
    data: Path,
    *,
    format: str | None = None,
    scorer: RewardScorer | None = None,
    max_tokens: int | None = None,
    progress: bool = False,
) -> Calibration:
    """Score a file with the model in a folder, and keep mean and deviation there; see `write_calibration`.

    Args:
        folder: a reward model in any layout that `read_head` knows.
        data: rows that calibration_rows.py reads.
        format: by default what the rows say, else "raw".
        scorer: that has the model already; its format must be the rows'.
        max_tokens: of a chat, as `RewardScorer` has it.
        progress: show a bar on stderr.

    Raises:
        InputError: the rows are not usable, or say another format.
        CalibrationError: too few scores, or all alike.
        HeadError: the model's value head is missing or of another kind.
    """
    from acecoder_rl.reward_model.any_layout import scorer_for
    from acecoder_rl.reward_model.calibration_rows import read_rows
    from acecoder_rl.reward_model.checkpoint import read_head

    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} is no model's folder (no config.json): a calibration is kept beside the model")
    rows = read_rows(data, format)
    head = read_head(folder)
    if scorer is None:
        try:
            scorer = scorer_for(folder, head, rows.rendered, max_tokens)
        except ValueError as error:  # no chat template, tensors that are missing
            raise CalibrationError(f"{folder}: {error}") from error
    scored = scorer.scored(rows.pairs, progress=progress)
    flags = Counter(flag for one in scored for flag in one.flags)
    try:
        calibration = Calibration.of(
            [one.value for one in scored],
            rows.format,
            flags=dict(sorted(flags.items())),
            data=data.name,
            data_sha256=rows.sha256,
        )
    except CalibrationError as error:
        raise CalibrationError(f"{data}: {error}") from None
    write_calibration(folder, calibration, (head.bias or 0.0) if head.layout == "score" else None)
    return calibration


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _write(file: Path, record: dict[str, Any]) -> None:
    """In one rename, so that a reader never sees half a file."""
    half = file.with_name(f".{file.name}.tmp")
    half.write_text(json.dumps(record, indent=2) + "\n")
    half.replace(file)
