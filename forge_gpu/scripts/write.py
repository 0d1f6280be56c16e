"""A model asked for a transform script until one passes lint and trial; with a record of what was said."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from forge_gpu.errors import ConfigError
from forge_gpu.plain import frozen
from forge_gpu.sandbox.contract import Script
from forge_gpu.sandbox.sandbox import Bounds
from forge_gpu.scripts.endpoint import Endpoint, EndpointError, Recorded
from forge_gpu.scripts.trial import Row, Trial, try_script

BLOCK = re.compile(r"^```(?:python|py)?[ \t]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
MOST_FAULTS = 10


@frozen
class Written:
    """trial: of the script that passed. prompt, answers: what was said, for the record."""

    trial: Trial
    prompt: str
    answers: Sequence[str]
    url: str
    model: str

    def record(self) -> bytes:
        """As JSON: enough to look at, and to replay without a network."""
        said = {"url": self.url, "model": self.model, "prompt": self.prompt, "answers": list(self.answers)}
        hashes = {
            "script": self.trial.script.sha256,
            "prompt": hashlib.sha256(self.prompt.encode()).hexdigest(),
            "answers": [hashlib.sha256(answer.encode()).hexdigest() for answer in self.answers],
        }
        return orjson.dumps(said | {"sha256": hashes}, option=orjson.OPT_INDENT_2) + b"\n"


def write(
    model: Endpoint | Recorded,
    prompt: str,
    rows: Sequence[Row],
    rounds: int,
    may_quote: bool,
    on_round: Callable[[int, Sequence[str]], None] = lambda number, faults: None,
    bounds: Bounds | None = None,
) -> Written:
    """Ask at most `rounds` times. may_quote: whether faults that quote a row may be sent back.

    on_round: hears each round's faults. Raises EndpointError where no script passes.
    """
    messages = [{"role": "user", "content": prompt}]
    answers: list[str] = []
    for number in range(1, rounds + 1):
        # A lone surrogate is not a text that could be kept or sent back.
        answer = model.answer(messages).encode("utf-8", "replace").decode()
        answers.append(answer)
        text, no_code = _code(answer)
        faults: Sequence[str] = no_code
        sent = faults
        if not faults:
            trial = try_script(Script("transform.py", text), rows, bounds)
            faults, sent = trial.faults, trial.faults if may_quote else trial.public
            if not faults:
                on_round(number, [])
                return Written(trial, prompt, answers, model.url, model.model)
        on_round(number, faults)
        faults_text = "\n".join(sent[:MOST_FAULTS])
        messages += [
            {"role": "assistant", "content": answer},
            {
                "role": "user",
                "content": f"It cannot be used:\n{faults_text}\nAnswer with the whole file again.",
            },
        ]
    raise EndpointError(
        f"no script passed in {rounds} rounds; say more of what the rows must become, or --rounds"
    )


def read_record(path: Path) -> Recorded:
    """Raises ConfigError where the file is not a record."""
    try:
        read = orjson.loads(path.read_bytes())
        answers = read["answers"]
        if not all(isinstance(answer, str) for answer in answers):
            raise TypeError
        return Recorded(list(answers), str(read["url"]), str(read["model"]))
    except OSError as fault:
        raise ConfigError(f"{path}: {fault.strerror}") from fault
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path}: is not a record of `forge transform write`") from None


def _code(answer: str) -> tuple[str, list[str]]:
    """The one block of Python of an answer, or what is wrong with it."""
    blocks = BLOCK.findall(answer)
    if len(blocks) != 1:
        return "", [f"the answer holds {len(blocks)} blocks of Python; one is asked for"]
    return blocks[0], []
