"""The specification in plain Python: one learner, floats and dicts, no code shared with alsim.

It is written from the specification and the clauses (docs/spec.md), not from the package. A test cannot detect an
error that both share. The code favours simplicity over speed.
"""

import math

from scipy.special import betaincinv

DIFFICULTIES = ("Easy", "Medium", "Hard")
MODALITIES = ("video", "PPT", "text", "blog", "article", "handout")

# Purposes of randomness (S11.1).
START, INTERACTION = 1, 2

SETTINGS = {
    "max_episode_steps": 140,
    "mastery_alpha": 2.0,
    "mastery_beta": 5.0,
    "ability_mean": 0.0,
    "ability_std": 1.0,
    "learning_rate": 0.05,
    "ability_gain": 0.02,
    "frustration_relief": 0.05,
    "frustration_rise": 0.10,
    "hard_rise": 0.05,
    "hard_below": 0.5,
    "frustration_discount": 0.5,
    "gain_noise": 0.02,
    "response_time_min": 5.0,
    "max_response_time": 120.0,
    "correctness": 1.0,
    "mastery_gain": 0.5,
    "frustration_penalty": 0.3,
    "post_content_gain": 2.0,
    "engagement": 0.5,
    "mastery_threshold": 0.8,
    "max_frustration": 0.95,
    "blueprint": (0.2, 0.6, 0.2),
    "observation": "mastery",
}


def philox4x32(counter, key, rounds=10):
    """Return the words of a counter (4 words) under a key (2 words); Salmon et al. (2011), figure 4."""
    r0, l0, r1, l1 = counter
    k0, k1 = key
    for _ in range(rounds):
        a, b = 0xD2511F53 * r0, 0xCD9E8D57 * r1
        r0, l0, r1, l1 = (b >> 32) ^ l0 ^ k0, b % 2**32, (a >> 32) ^ l1 ^ k1, a % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return r0, l0, r1, l1


def uniform(word):
    """Return a uniform variate in (0, 1)."""
    return ((word >> 9) + 0.5) / 2**23


def normal(radius, angle):
    """Return a normal variate by the cosine branch of Box and Muller (1958)."""
    return math.sqrt(-2 * math.log(uniform(radius))) * math.cos(2 * math.pi * uniform(angle))


def below(word, n):
    """Return an integer in [0, n)."""
    return word * n >> 32


def beta(word, a, b):
    """Return a Beta variate by inversion; the top bit of the word selects the tail, the rest its probability."""
    tail = (word % 2**31 + 0.5) / 2**32
    if word < 2**31:
        return float(betaincinv(a, b, tail))
    return 1 - float(betaincinv(b, a, tail))


def p_correct(theta, a, b, c):
    """Return the probability of a correct answer (S4.1)."""
    return c + (1 - c) / (1 + math.exp(-a * (theta - b)))


def clip(x):
    """Return x clipped to [0, 1]."""
    return min(1.0, max(0.0, x))


class Oracle:
    """AdaptiveLearningEnv of the specification, with random numbers from counters.

    questions, contents     items of the bank in its order, dicts with the keys of the specification
    settings                values that differ from SETTINGS
    """

    def __init__(self, questions, contents, **settings):
        assert set(settings) <= set(SETTINGS), set(settings) - set(SETTINGS)
        self.s = {**SETTINGS, **settings}
        self.questions, self.contents = list(questions), list(contents)
        self.num_los = 1 + max(q["learning_outcome"] for q in self.questions)

    def words(self, step, purpose, block=0):
        counter = (step, self.episode, self.learner, purpose | block << 16)
        return philox4x32(counter, (self.seed % 2**32, self.seed >> 32))

    def reset(self, seed, learner=0, episode=0):
        """Start an episode of a learner (S1.1 to S1.3)."""
        self.seed, self.learner, self.episode = seed, learner, episode
        needed = 2 + self.num_los
        stream = [word for block in range(-(-needed // 4)) for word in self.words(0, START, block)]
        self.mastery = [beta(word, self.s["mastery_alpha"], self.s["mastery_beta"]) for word in stream[2:needed]]
        self.ability = self.s["ability_mean"] + self.s["ability_std"] * normal(stream[0], stream[1])
        self.frustration = 0.0
        self.last_response_time = 0.0
        self.fail_streak = 0
        self.step_count = 0
        self.asked = [0] * self.num_los
        self.correct = [0] * self.num_los
        self.log = []
        return self.observation()

    @property
    def engagement(self):
        """1 - frustration (S1.4)."""
        return 1 - self.frustration

    @property
    def mean_mastery(self):
        return math.fsum(self.mastery) / self.num_los

    def decode_action(self, action):
        """Return type, lo, and difficulty or modality of an action (S3.1)."""
        content = action - 3 * self.num_los
        if content < 0:
            return {"type": "question", "lo": action // 3, "difficulty": action % 3}
        return {"type": "content", "lo": content // 6, "modality": content % 6}

    def step(self, action, propensity=math.nan):
        """Take one interaction; return observation, reward, terminated, truncated, info."""
        words = self.words(self.step_count, INTERACTION)
        self.draws = {"answer": uniform(words[0]), "noise": normal(words[1], words[3])}
        decoded = self.decode_action(action)
        if decoded["type"] == "question":
            index, item = self.pick(
                self.questions, decoded["lo"], "difficulty", DIFFICULTIES[decoded["difficulty"]], words
            )
            result = self.question(item, decoded)
            reward = self.s["mastery_gain"] * result["mastery_gain"]
            reward -= self.s["frustration_penalty"] * self.frustration
            if result["correct"]:
                reward += self.s["correctness"]
        else:
            index, item = self.pick(self.contents, decoded["lo"], "modality", MODALITIES[decoded["modality"]], words)
            index += len(self.questions)
            result = self.content(item, decoded)
            reward = self.s["post_content_gain"] * result["mastery_gain"]
            reward -= self.s["engagement"] * result["frustration_delta"]
        self.step_count += 1
        reason = self.termination_reason()
        info = {
            "result": result,
            "termination_reason": reason,
            "step": self.step_count,
            "mean_mastery": self.mean_mastery,
        }
        entry = {
            "action": action,
            "item": index,
            "reward": reward,
            "propensity": propensity,
            "done": reason is not None,
        }
        self.log.append({**entry, **info})
        terminated = reason in ("mastery_achieved", "critical_frustration")
        return self.observation(), reward, terminated, reason == "step_limit", info

    def pick(self, items, lo, level, word, words):
        """Return the index of an item of a cell, and the item (S3.2)."""
        cell = [k for k, item in enumerate(items) if item["learning_outcome"] == lo and item[level] == word]
        index = cell[below(words[2], len(cell))]
        return index, items[index]

    def question(self, item, decoded):
        """Answer a question; return the result (S4.1 to S4.4)."""
        s, lo = self.s, decoded["lo"]
        before = self.mastery[lo]
        self.p = self.chance(item, lo)
        correct = self.draws["answer"] < self.p
        self.asked[lo] += 1
        self.mastery[lo] = self.practised(lo, correct)
        if correct:
            self.correct[lo] += 1
            self.ability += s["ability_gain"]
            self.fail_streak = 0
            self.frustration = max(0.0, self.frustration - s["frustration_relief"])
        else:
            self.fail_streak += 1
            self.frustration += s["frustration_rise"]
            if item["difficulty"] == "Hard" and before < s["hard_below"]:
                self.frustration += s["hard_rise"]
            self.frustration = min(1.0, self.frustration)
        seconds = item["response_time_mean"] + item["response_time_std"] * self.draws["noise"]
        self.last_response_time = max(s["response_time_min"], seconds) * self.slowness()
        return {
            **decoded,
            "correct": correct,
            "mastery_gain": self.mastery[lo] - before,
            "frustration": self.frustration,
            "response_time": self.last_response_time,
        }

    def chance(self, item, lo):
        """Return the probability of a correct answer (S4.1)."""
        return p_correct(self.ability, item["irt_a"], item["irt_b"], item["irt_c"])

    def practised(self, lo, correct):
        """Return the mastery after an answer (S4.2)."""
        before = self.mastery[lo]
        return min(1.0, before + self.rate(lo) * self.s["learning_rate"] * (1 - before)) if correct else before

    def studied(self, lo, item):
        """Return the mastery after a content (S5.1)."""
        s, before = self.s, self.mastery[lo]
        effect = item["effectiveness"] * (1 - before) * (1 - s["frustration_discount"] * self.frustration)
        return min(1.0, before + self.rate(lo) * max(0.0, effect + s["gain_noise"] * self.draws["noise"]))

    def rate(self, lo):
        """Return the factor of gains; other dynamics change it."""
        return 1.0

    def slowness(self):
        """Return the factor of response times; other dynamics change it."""
        return 1.0

    def content(self, item, decoded):
        """Study a content; return the result (S5.1 and S5.2)."""
        lo = decoded["lo"]
        before = self.mastery[lo]
        self.mastery[lo] = self.studied(lo, item)
        self.frustration = clip(self.frustration + item["engagement_impact"])
        self.fail_streak = 0
        return {
            **decoded,
            "mastery_gain": self.mastery[lo] - before,
            "frustration_delta": item["engagement_impact"],
            "frustration": self.frustration,
        }

    def termination_reason(self):
        """Return why the episode ends, None if it does not (S7.1)."""
        if self.mean_mastery >= self.s["mastery_threshold"]:
            return "mastery_achieved"
        if self.step_count >= self.s["max_episode_steps"]:
            return "step_limit"
        if self.frustration >= self.s["max_frustration"]:
            return "critical_frustration"
        return None

    def observation(self):
        """Return the observation (S8.1, S8.2)."""
        tail = [self.frustration, clip(self.last_response_time / self.s["max_response_time"])]
        if self.s["observation"] == "mastery":
            return self.mastery + tail
        shares = [asked / self.s["max_episode_steps"] for asked in self.asked]
        correct = [correct / asked if asked else 0.5 for correct, asked in zip(self.correct, self.asked, strict=True)]
        return shares + correct + tail

    def get_episode_metrics(self):
        """Return the metrics, {} before the first step; undefined values are NaN (S9.1 to S9.6)."""
        if not self.log:
            return {}
        asked = [e["result"] for e in self.log if e["result"]["type"] == "question"]
        shown = [e["result"] for e in self.log if e["result"]["type"] == "content"]
        gains = {m: [r["mastery_gain"] for r in shown if r["modality"] == k] for k, m in enumerate(MODALITIES)}
        reached = [e["step"] for e in self.log if e["mean_mastery"] >= self.s["mastery_threshold"]]
        minutes = sum(r["response_time"] for r in asked) / 60
        minutes += sum(self.contents[e["item"] - len(self.questions)]["duration"] for e in self.log if is_content(e))
        return {
            "total_steps": len(self.log),
            "final_mastery": self.log[-1]["mean_mastery"],
            "cumulative_reward": math.fsum(e["reward"] for e in self.log),
            "question_accuracy": mean([r["correct"] for r in asked]),
            "content_count": len(shown),
            "blueprint_adherence": self.adherence([r["difficulty"] for r in asked]),
            "post_content_gain": mean([r["mastery_gain"] for r in shown]),
            "post_content_gain_by_modality": {m: mean(g) for m, g in gains.items()},
            "time_to_mastery": reached[0] if reached else math.nan,
            "time_on_task": minutes,
            "delayed_retention": self.log[-1]["mean_mastery"],  # without forgetting (S13.3)
        }

    def adherence(self, difficulties):
        """Return the blueprint adherence, percent (S9.2)."""
        if not difficulties:
            return math.nan
        shares = [difficulties.count(k) / len(difficulties) for k in range(3)]
        return 100 * (1 - mean([abs(x - y) for x, y in zip(shares, self.s["blueprint"], strict=True)]))

    def events(self):
        """Return the events, with seconds since the start of the episode (S10.1)."""
        events, clock = [], 0.0
        for entry in self.log:
            common = {
                "learner": self.learner,
                "episode": self.episode,
                "step": entry["step"],
                "item": entry["item"],
                "propensity": entry["propensity"],
            }
            if is_content(entry):
                events.append({"event": "content_shown", "seconds": clock, **common})
                clock += 60 * self.contents[entry["item"] - len(self.questions)]["duration"]
            else:
                events.append({"event": "question_shown", "seconds": clock, **common})
                clock += entry["result"]["response_time"]
                events.append({"event": "answered", "seconds": clock, **common})
        return events


def is_content(entry):
    return entry["result"]["type"] == "content"


def mean(values):
    """Return the mean, NaN of an empty list."""
    return math.fsum(values) / len(values) if values else math.nan
