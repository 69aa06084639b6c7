"""What becomes of artefacts with a flipped bit: all must be refused, and none may do harm if its checksums were mended.

python -m benchmarks.damage data/artefacts/latest --flips 1000
python -m benchmarks.damage data/artefacts/latest --flips 1000 --mend
"""

import json
import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from time import perf_counter

import click

from predict.contract.artefact import METADATA, ArtefactError, serialise_metadata, sha256_of
from predict.scoring.predictor import Predictor

# Of a message, what is left of it without its numbers and names: its kind.
_PARTS = re.compile(r"\(.*|[0-9].*", re.DOTALL)


@click.command()
@click.argument("artefacts", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--flips", default=1_000, show_default=True, help="For all artefacts together.")
@click.option("--seed", default=20261127, show_default=True)
@click.option("--mend", is_flag=True, help="Make the checksums right again, as a forger would.")
def main(artefacts: tuple[Path, ...], flips: int, seed: int, mend: bool) -> None:
    """Flip single bits of copies of ARTEFACTS, and load them."""
    number, outcomes, slowest = random.Random(seed), Counter[str](), 0.0
    with tempfile.TemporaryDirectory() as directory:
        copies = [
            Path(shutil.copytree(artefact, Path(directory) / str(place)))
            for place, artefact in enumerate(artefacts)
        ]
        for _ in range(flips):
            copy = number.choice(copies)
            started = perf_counter()
            outcomes[_outcome(copy, number, mend)] += 1
            slowest = max(slowest, perf_counter() - started)
    for outcome, count in outcomes.most_common():
        print(f"{count:6d}  {outcome}")
    print(f"slowest: {slowest:.2f} s")
    if not mend and set(outcomes) != {"refused"}:
        sys.exit(1)


def _outcome(artefact: Path, number: random.Random, mend: bool) -> str:
    """Flip a bit somewhere, load the artefact, and make it as it was."""
    files = sorted(artefact.iterdir())
    file = number.choice([each for each in files if not (mend and each.name == METADATA)])
    metadata, good = (artefact / METADATA).read_bytes(), file.read_bytes()
    changed = bytearray(good)
    changed[number.randrange(len(good))] ^= 1 << number.randrange(8)
    file.write_bytes(changed)
    if mend:
        content = json.loads(metadata)
        content["files"][file.name] = sha256_of(file)
        del content["checksum"]
        (artefact / METADATA).write_bytes(serialise_metadata(content))
    try:
        predictor = Predictor.load(artefact)
        predictor.predict([example.instance for example in predictor.metadata.examples])
    except ArtefactError as error:
        if not mend:
            return "refused"
        return "refused: " + _PARTS.sub("", str(error).removeprefix(f"{artefact}")).lstrip("/: ")
    except Exception as error:  # this is what is looked for
        return f"failed: {error!r} ({file.name})"
    finally:
        (artefact / METADATA).write_bytes(metadata)
        file.write_bytes(good)
    return f"served, with another {file.name}"


if __name__ == "__main__":
    main()
