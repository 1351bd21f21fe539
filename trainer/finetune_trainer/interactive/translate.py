"""`python -m finetune_trainer.interactive.translate`: lines of standard input, translated by the model of a run.

`finetune translate` starts it, and decides which model, direction and shots.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from finetune_api.adapt import Prompts
from finetune_api.exit_codes import CliExitCode
from finetune_api.job import FineTuneJob, FineTuneJobSpec
from finetune_api.language_tags import direction_languages
from finetune_trainer.errors import BadConfiguration, BadData, StageFailure
from finetune_trainer.pod.environment import set_defaults, share_cores
from finetune_trainer.pod.logs import take_over_libraries

if TYPE_CHECKING:
    from finetune_trainer.tasks.interface import System

_BOM = "\ufeff"
Answer = Callable[[Sequence[str]], tuple[list[str], list[str]]]
"""From texts to their translations, and what is to be known of them."""


@dataclass(frozen=True, slots=True)
class Request:
    """The command line."""

    job: Path
    """A FineTuneJob as JSON."""
    model: Path
    data: Path
    """What prepare made."""
    direction: str
    shots: int
    max_new_tokens: int
    batch_size: int
    """Lines decoded together."""


def parse_request(arguments: Sequence[str] | None) -> Request:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="finetune-translate", description=__doc__)
    for name in ("job", "model", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--direction", required=True)
    for name in ("shots", "max-new-tokens", "batch-size"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return Request(**vars(parser.parse_args(arguments)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Translate until standard input ends; returns the exit code of the command."""
    request = parse_request(arguments)
    set_defaults()
    share_cores(nodes=1, processes=1)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.captureWarnings(capture=True)
    take_over_libraries()
    try:
        answer = _open(request)
        answer_lines(sys.stdin.buffer, sys.stdout.buffer, answer, request.batch_size, _tell)
    except StageFailure as failure:
        print(f"✖ {failure.message}. {failure.remedy}", file=sys.stderr)  # noqa: T201 - it speaks for a command
        return int(CliExitCode.REFUSED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(CliExitCode.FAILED)
    except KeyboardInterrupt:
        return int(CliExitCode.INTERRUPTED)
    return int(CliExitCode.SUCCEEDED)


def _tell(note: str) -> None:
    print(f"⚠ {note}", file=sys.stderr, flush=True)  # noqa: T201 - it speaks for a command


def answer_lines(lines: BinaryIO, out: BinaryIO, answer: Answer, batch_size: int, tell: Callable[[str], None]) -> None:
    """Answer each line by one line, in order; a blank line by a blank one.

    Raises:
        BadData: at a line that is not UTF-8, when those before it are answered.
    """
    first = 1
    for batch in _batches(_texts(lines), batch_size):
        asked = [text for text in batch if text]
        answers, notes = answer(asked) if asked else ([], [])
        for note in notes:
            tell(f"lines {first} to {first + len(batch) - 1}: {note}")
        found = iter(answers)
        out.write("".join(f"{next(found) if text else ''}\n" for text in batch).encode())
        out.flush()
        first += len(batch)


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise BadData(
                "NotUtf8", f"standard input, line {number}: not UTF-8 text", "Convert it: iconv -f LATIN1 -t UTF-8."
            ) from None
        yield (text.removeprefix(_BOM) if number == 1 else text).strip()


def _batches(texts: Iterator[str], size: int) -> Iterator[list[str]]:
    """Lists of `size` texts; what came before an error is given before it is raised."""
    batch: list[str] = []
    try:
        for text in texts:
            batch.append(text)
            if len(batch) == size:
                yield batch
                batch = []
    except BadData:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _open(request: Request) -> Answer:
    """Load the model and, for shots, index the run's training pairs.

    Raises:
        BadConfiguration: if one of them is not there, or they do not fit.
    """
    from finetune_trainer.tasks.translation.predict import Translator

    spec = FineTuneJob.from_json_object(json.loads(request.job.read_text(encoding="utf-8"))).spec
    prompts = spec.adapt.prompts if spec.adapt else Prompts()
    translator = Translator(_load_system(request, spec), prompts, request.direction, request.max_new_tokens)
    examples = _examples(request, spec, prompts) if request.shots else None
    form = spec.data.clean.normalise

    def answer(texts: Sequence[str]) -> tuple[list[str], list[str]]:
        texts = texts if form == "None" else [unicodedata.normalize(form, text) for text in texts]
        predictions = translator.translate(texts, examples(texts) if examples is not None else None)
        return predictions.texts, predictions.notes

    return answer


def _load_system(request: Request, spec: FineTuneJobSpec) -> System:
    import torch

    from finetune_trainer.devices import rank_device
    from finetune_trainer.distributed import Ranks
    from finetune_trainer.models import Placement, check_fit, load_model, load_tokenizer, wants_bf16
    from finetune_trainer.tasks.interface import System

    take_over_libraries()
    device = rank_device(0, 1)
    dtype = torch.bfloat16 if wants_bf16(spec.parallelism.precision, device) else torch.float32
    tokenizer = load_tokenizer(request.model, "the run's model")
    model = load_model(request.model, "the run's model", placement=Placement(dtype, device))
    check_fit(model, tokenizer)
    return System(model.eval(), tokenizer, Ranks(), request.batch_size)


def _examples(
    request: Request, spec: FineTuneJobSpec, prompts: Prompts
) -> Callable[[Sequence[str]], list[list[tuple[str, str]]]]:
    from finetune_trainer.data.match_requests import example_source
    from finetune_trainer.data.prepared import PreparedData
    from finetune_trainer.tasks.translation.examples import ExampleIndex

    data = PreparedData.open(request.data.parent, request.data.name)
    languages = direction_languages(request.direction)
    wanted = spec.adapt.task.source if spec.adapt else None
    source = next((s for s in spec.data.sources if s.name == wanted), spec.data.sources[0])
    pool = example_source(spec, data, source, languages)
    if pool is None:
        raise BadConfiguration(
            "NoExamples", f"the run has no training pairs in {' and '.join(languages)} to take examples from",
            "Ask for --shots 0.",
        )  # fmt: skip
    index = ExampleIndex(data, *pool, prompts.retrieval)
    return lambda texts: index.find(texts, request.shots)


if __name__ == "__main__":
    sys.exit(main())
