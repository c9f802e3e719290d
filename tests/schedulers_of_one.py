"""Schedulers for one learner in plain Python, from the published rules."""

import math

DAY = 24.0
WEIGHTS = (
    *(0.212, 1.2931, 2.3065, 8.2956, 6.4133, 0.8334, 3.0194, 0.001, 1.8722, 0.1666, 0.796),
    *(1.4835, 0.0614, 0.2629, 1.6483, 0.6014, 1.8729, 0.5425, 0.0912, 0.0658, 0.1542),
)
"""Published weights of FSRS-6, as in fsrs.json."""


class Twin:
    """Order of introduction and actions of every scheduler; a card is None before the first presentation."""

    def __init__(self, num_los, parents=None, difficulty="any", first="question", floor=0.05):
        self.cards, self.parents = [None] * num_los, parents or [()] * num_los
        levels = ("Easy", "Medium", "Hard")
        self.questions = [k for k in range(3) if difficulty in ("any", levels[k])]
        self.first, self.floor = first, floor

    def options(self, lo, allowed):
        num_los = len(self.cards)
        if self.cards[lo] is None and self.first == "content":
            actions = [3 * num_los + 6 * lo + k for k in range(6)]
        else:
            actions = [3 * lo + k for k in self.questions]
        return [action for action in actions if allowed[action]]

    def chances(self, hours, allowed):
        """Return the probability of each LO that may be next."""
        open_los = [lo for lo in range(len(self.cards)) if self.options(lo, allowed)]
        known = [lo for lo in open_los if self.cards[lo] is not None]
        new = [lo for lo in open_los if self.cards[lo] is None]
        new = [lo for lo in new if all(self.cards[p] is not None for p in self.parents[lo])]
        due = [lo for lo in known if self.is_due(self.cards[lo], hours)]
        chosen = self.choose(hours, known, due, new)
        return {lo: 1 / len(chosen) for lo in chosen}

    def choose(self, hours, known, due, new):
        if due or (known and not new):
            return [max(due or known, key=lambda lo: (self.overdue(self.cards[lo], hours), -lo))]
        return new[:1]

    def odds(self, hours, allowed):
        odds = [0.0] * len(allowed)
        for lo, share in self.chances(hours, allowed).items():
            options = self.options(lo, allowed)
            for action in options:
                odds[action] = share / len(options)
        if not any(odds):
            return [a / sum(allowed) for a in allowed]
        return [(1 - self.floor) * p + self.floor * a / sum(allowed) for p, a in zip(odds, allowed, strict=True)]

    def learn(self, action, correct, hours):
        num_los = len(self.cards)
        is_question = action < 3 * num_los
        lo = action // 3 if is_question else (action - 3 * num_los) // 6
        self.cards[lo] = self.after(self.cards[lo], hours, correct if is_question else None)

    def is_due(self, card, hours):
        return self.overdue(card, hours) >= 0


class LeitnerTwin(Twin):
    days = (1, 2, 4, 8, 16)

    def overdue(self, card, hours):
        return hours - card["due"]

    def after(self, card, hours, correct):
        box = card["box"] if card else 1
        if correct is not None:
            box = min(box + 1, len(self.days)) if correct else 1
        return {"box": box, "due": hours + self.days[box - 1] * DAY}


class SM2Twin(Twin):
    overdue = LeitnerTwin.overdue
    right = 4

    def after(self, card, hours, correct):
        card = dict(card or {"easiness": 2.5, "interval": 1.0, "count": 0})
        if correct:
            card["interval"] = {0: 1.0, 1: 6.0}.get(card["count"], card["interval"] * card["easiness"])
            q = 5 - self.right
            card["easiness"] = max(1.3, card["easiness"] + (0.1 - q * (0.08 + q * 0.02)))
            card["count"] += 1
        elif correct is not None:
            card["interval"], card["count"] = 1.0, 0
        card["due"] = hours + card["interval"] * DAY
        return card


class FSRSTwin(Twin):
    retention = 0.9

    def recall(self, card, hours):
        f = 0.9 ** (-1 / WEIGHTS[20]) - 1
        return (1 + f * (hours - card["last"]) / DAY / card["s"]) ** -WEIGHTS[20]

    def overdue(self, card, hours):
        return self.retention - self.recall(card, hours)

    def after(self, card, hours, correct):
        w, g = WEIGHTS, 1 if correct is not None and not correct else 3
        easiest = w[4] - math.exp(w[5] * 3) + 1
        if card is None:
            s, d = w[g - 1], w[4] - math.exp(w[5] * (g - 1)) + 1
        else:
            s, d = card["s"], card["d"]
            lost = 1 - self.recall(card, hours)
            if hours - card["last"] < DAY:
                rise = math.exp(w[17] * (g - 3 + w[18])) * s ** -w[19]
                after = s * (max(rise, 1.0) if g >= 2 else rise)
            elif g == 1:
                after = w[11] * d ** -w[12] * ((s + 1) ** w[13] - 1) * math.exp(w[14] * lost)
                after = min(after, s / math.exp(w[17] * w[18]))
            else:
                after = s * (1 + math.exp(w[8]) * (11 - d) * s ** -w[9] * (math.exp(w[10] * lost) - 1))
            d = w[7] * easiest + (1 - w[7]) * (d - w[6] * (g - 3) * (10 - d) / 9)
            s = after
        return {"s": max(s, 0.001), "d": min(max(d, 1.0), 10.0), "last": hours}


class ThresholdTwin(Twin):
    threshold = 0.5

    def recall(self, card, hours):
        log2 = 0.25 * math.sqrt(1 + card["right"]) - 0.15 * math.sqrt(1 + card["wrong"]) - 0.1
        return 2 ** (-(hours - card["last"]) / DAY / min(max(2**log2, 15 / 1440), 274))

    def is_due(self, card, hours):
        return self.recall(card, hours) <= self.threshold

    def choose(self, hours, known, due, new):
        if due or not new:
            distance = {lo: abs(self.recall(self.cards[lo], hours) - self.threshold) for lo in known}
            return sorted(known, key=lambda lo: (distance[lo], lo))[:1]
        return new[:1]

    def after(self, card, hours, correct):
        right, wrong = (card["right"], card["wrong"]) if card else (0, 0)
        is_wrong = correct is not None and not correct
        return {"right": right + (not is_wrong), "wrong": wrong + is_wrong, "last": hours}


class RandomDueTwin(Twin):
    interval = 24.0

    def is_due(self, card, hours):
        return hours - card["last"] >= self.interval

    def choose(self, hours, known, due, new):
        return new + due or known

    def after(self, card, hours, correct):
        return {"last": hours}


TWINS = {
    "leitner": LeitnerTwin,
    "sm2": SM2Twin,
    "fsrs": FSRSTwin,
    "threshold": ThresholdTwin,
    "random-due": RandomDueTwin,
}
