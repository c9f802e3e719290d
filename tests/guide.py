"""The guide's engine in plain Python: dictionaries and floats, no import from `alsim`."""

P_INIT, P_LEARN, P_GUESS, P_SLIP, THRESHOLD = 0.3, 0.1, 0.2, 0.1, 0.9


def updated(mastery, correct):
    """Return the probability of mastery after a response: Bayes' rule, then learning."""
    if correct:
        known, unknown = mastery * (1 - P_SLIP), (1 - mastery) * P_GUESS
    else:
        known, unknown = mastery * P_SLIP, (1 - mastery) * (1 - P_GUESS)
    posterior = known / (known + unknown)
    return posterior + (1 - posterior) * P_LEARN


class Guide:
    """Students as dictionaries {skill: mastery}."""

    def __init__(self, graph, items):
        self.graph, self.items, self.students = graph, {item["id"]: item for item in items}, {}

    def mastery(self, student):
        return self.students.setdefault(student, dict.fromkeys(self.graph, P_INIT))

    def ready(self, student):
        mastery = self.mastery(student)
        return [
            skill
            for skill, parents in self.graph.items()
            if mastery[skill] < THRESHOLD and all(mastery[parent] >= THRESHOLD for parent in parents)
        ]

    def relevance(self, student):
        """Return {item: relevance} of the items with relevance."""
        mastery, ready = self.mastery(student), set(self.ready(student))
        found = {
            name: sum(1 - mastery[skill] for skill in item["skills_taught"] if skill in ready)
            for name, item in self.items.items()
        }
        return {name: value for name, value in found.items() if value > 0}

    def respond(self, student, item, correct):
        mastery = self.mastery(student)
        for skill in self.items[item]["skills_assessed"]:
            mastery[skill] = updated(mastery[skill], correct)
