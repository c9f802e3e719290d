"""Graphs and catalogues of the tests."""

import numpy as np

GRAPH = {"counting": [], "addition": ["counting"], "fractions": ["addition"], "shapes": []}


def question(name, *skills, **others):
    return {"id": name, "skills_taught": [*skills], "skills_assessed": [*skills], "type": "question", **others}


def content(name, *skills, **others):
    return {"id": name, "skills_taught": [*skills], "skills_assessed": [], "type": "content", **others}


ITEMS = [
    *(question(f"c{k}", "counting") for k in range(3)),
    *(question(f"a{k}", "addition") for k in range(3)),
    question("ca", "counting", "addition"),
    question("f", "fractions"),
    question("s", "shapes"),
    content("video", "counting", "shapes"),
    content("text", "fractions"),
]


def random_course(seed, num_skills=12, num_items=60):
    """Return the graph and the items of a random course."""
    random = np.random.default_rng(seed)
    skills = [f"skill {k}" for k in range(num_skills)]
    graph = {
        skill: [skills[p] for p in random.choice(k, min(k, int(random.integers(0, 3))), replace=False)] if k else []
        for k, skill in enumerate(skills)
    }
    items = []
    for i in range(num_items):
        chosen = [skills[k] for k in random.choice(num_skills, int(random.integers(1, 4)), replace=False)]
        items.append(content(f"content {i}", *chosen) if random.random() < 0.3 else question(f"question {i}", *chosen))
    return graph, items
