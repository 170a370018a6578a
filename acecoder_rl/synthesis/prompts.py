"""Prompt files: plain text with placeholders, ours or the user's.

Covers: reading them, checking their placeholders, filling them in.
Does not cover: chat templates (engine.py), system prompts (settings of the stages).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from acecoder_rl.records import InputError

FOLDER = Path(__file__).parent / "prompts"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Prompt:
    """A prompt file's text; `{name}` in it stands for a value."""

    text: str

    def fill(self, **values: str) -> str:
        """The text with its values."""
        # In one pass, and not str.format: programs are full of braces, and values may hold the words themselves.
        return _PLACEHOLDER.sub(lambda match: values[match[1]], self.text)


def load_prompt(
    path: str | Path | None, ours: str, required: tuple[str, ...], optional: tuple[str, ...] = (), field: str = "prompt"
) -> Prompt:
    """Read and check a prompt file.

    Args:
        path: the user's file; None = ours.
        ours: name of the one in acecoder_rl/synthesis/prompts, without its ending.
        required, optional: placeholders it must and may have.
        field: of the recipe that names the file, for messages.

    Raises:
        InputError: there is no such file, or a placeholder is missing, or unknown.
    """
    file = FOLDER / f"{ours}.txt" if path is None else Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{field} is {str(path)!r}, which cannot be read ({error}): give a text file") from None
    known = [f"{{{name}}}" for name in (*required, *optional)]
    found = dict.fromkeys(_PLACEHOLDER.findall(text))
    if unknown := [name for name in found if name not in (*required, *optional)]:
        raise InputError(
            f"{file} ({field}) has {{{unknown[0]}}}, which stands for nothing: there are {', '.join(known)} "
            "(for braces around a word write a space: { word })"
        )
    if missing := [name for name in required if name not in found]:
        raise InputError(f"{file} ({field}) has no {{{missing[0]}}}: put it where that belongs")
    return Prompt(text.strip())
