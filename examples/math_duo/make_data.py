"""Writes tasks.jsonl and a file of demonstrations for each team: arithmetic word problems of one to three steps, in the format of GSM8K.

    python3 examples/math_duo/make_data.py

Seeded: the same bytes every time. A task's `answer` is worked, and ends in `#### n`.
"""

import hashlib
import json
import pathlib
import random

NAMES = ["Ana", "Ben", "Chidi", "Dora", "Emil", "Fatima", "Goran", "Hana"]
THINGS = ["apples", "books", "cards", "coins", "eggs", "pens", "shells", "stamps"]
# the story, and its steps: the first is an operation on two numbers, each later one continues with the result
TEMPLATES = {
    "gain": ("{name} has {a} {things} and gets {b} more. How many {things} now?", ["{a} + {b}"]),
    "loss": ("{name} has {a} {things} and gives {b} away. How many are left?", ["{a} - {b}"]),
    "boxes": ("There are {c} boxes with {d} {things} each. How many {things} in all?", ["{c} * {d}"]),
    "gain-loss": ("{name} has {a} {things}, gets {b} more and loses {c}. How many are left?", ["{a} + {b}", "- {c}"]),
    "packs": ("{name} has {b} {things} and buys {c} packs of {d}. How many {things} now?", ["{c} * {d}", "+ {b}"]),
    "sale": ("{name} fills {c} bags with {d} {things} each and sells {e}. How many are left?", ["{c} * {d}", "- {e}"]),
    "double": ("{name} has {a} {things}, gives {b} away, then doubles the rest. How many now?", ["{a} - {b}", "* 2"]),
    "trip": (
        "{name} has {b} {things}, buys {c} packs of {d} and gives {e} away. How many are left?",
        ["{c} * {d}", "+ {b}", "- {e}"],
    ),
    "team": (
        "{name} has {a} {things}, loses {b}, doubles the rest and finds {c} more. How many now?",
        ["{a} - {b}", "* 2", "+ {c}"],
    ),
}
TASKS = 1500
HELD_OUT = 0.25
DEMONSTRATIONS = 128
TEAMS = {"": ["reasoner", "actor"], "-trio": ["reasoner", "actor", "verifier"], "-solo": ["solver"]}


def is_held_out(question: str) -> bool:
    """The split of the run files: the first 53 bits of the SHA-256 of the question, as a share."""
    word = int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big") >> 11
    return word / 2**53 < HELD_OUT


def worked(steps: list[str]) -> tuple[list[str], int]:
    """Each step as an equation, and the last result."""
    equations, result = [], None
    for step in steps:
        expression = step if result is None else f"{result} {step}"
        left, sign, right = expression.split()
        result = {"+": int(left) + int(right), "-": int(left) - int(right), "*": int(left) * int(right)}[sign]
        equations.append(f"{expression} = {result}")
    return equations, result


def main() -> None:
    chance = random.Random(20261122)
    tasks, demonstrations, seen = [], [], set()
    while len(tasks) < TASKS:
        template = chance.choice(sorted(TEMPLATES))
        story, steps = TEMPLATES[template]
        b, c, d = chance.randint(2, 9), chance.randint(2, 5), chance.randint(2, 6)
        numbers = {"a": b + chance.randint(2, 20), "b": b, "c": c, "d": d, "e": chance.randint(1, c * d - 1)}
        question = story.format(name=chance.choice(NAMES), things=chance.choice(THINGS), **numbers)
        steps = [step.format(**numbers) for step in steps]
        equations, result = worked(steps)
        if question in seen or result < 0:
            continue
        seen.add(question)
        task = {"id": f"{template}-{len(tasks)}", "steps": len(steps), "question": question}
        tasks.append(task | {"answer": "\n".join(equations) + f"\n#### {result}"})
        if len(demonstrations) < DEMONSTRATIONS and not is_held_out(question):
            solution = ", ".join(equations) + f" #### {result}"
            said = {"reasoner": ", then ".join(steps), "actor": solution, "verifier": solution, "solver": solution}
            demonstrations.append({"id": task["id"], "says": said})
    folder = pathlib.Path(__file__).parent
    files = {"tasks": tasks}
    for suffix, agents in TEAMS.items():
        files[f"demonstrations{suffix}"] = [
            {"id": row["id"], "says": {agent: row["says"][agent] for agent in agents}} for row in demonstrations
        ]
    for name, rows in files.items():
        with open(folder / f"{name}.jsonl", "w", encoding="utf-8") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows)
    print(f"{len(tasks)} tasks, {sum(is_held_out(task['question']) for task in tasks)} of them held out")


if __name__ == "__main__":
    main()
