"""Fit deep knowledge tracing to simulated students, score it on others, and track one student. Needs PyTorch."""

try:
    import torch
except ModuleNotFoundError:
    raise SystemExit("dkt.py needs PyTorch, which is not installed: pip install '.[dkt]'") from None

import numpy as np

from alsim.models import Responses, load_fit, score, skill_mean
from alsim.models.dkt import fit

torch.set_num_threads(1)  # makes results reproducible bit for bit, and is no slower for a network of this size

# 1,500 students answer 30 questions to 6 skills. Skills 0 and 1, 2 and 3, 4 and 5 form pairs: a student masters both
# skills of a pair at the same time, with probability 0.15 after each question to one of them. The log does not contain
# the pairs.
random = np.random.default_rng(0)
students, steps, pairs = 1500, 30, 3
skill = random.integers(0, 2 * pairs, (students, steps))
mastered = random.random((students, pairs)) < 0.3
correct = np.empty((students, steps), int)
for t in range(steps):
    everyone, pair = np.arange(students), skill[:, t] // 2
    correct[:, t] = random.random(students) < np.where(mastered[everyone, pair], 0.9, 0.2)
    mastered[everyone, pair] |= random.random(students) < 0.15
log = Responses.from_arrays(np.repeat(np.arange(students), steps), correct.ravel(), skill=skill.ravel())

training, test = log.split(0.2, seed=0)
for name, fitted in (
    ("mean of each skill", skill_mean.fit(training)),
    ("deep knowledge tracing", fit(training, hidden=32, embedding=16, seed=0)),
):
    print(f"{name}: AUC {score(test.correct, fitted.predict(test)).auc:.2f} on {len(test.students)} other students")

# A fit is saved in two files, fit.json and fit.npz. Loading it and predicting with it need no PyTorch.
fitted.save("fit.json")
tracker = load_fit("fit.json").tracker()
for name, answer in (("0", 1), ("0", 1), ("2", 0)):
    probabilities = tracker.update("ann", name, answer)
    forecast = dict(sorted(zip(tracker.fit.skills.tolist(), probabilities.tolist(), strict=True)))
    print(f"{'correct' if answer else 'wrong'} response to skill {name}; P(correct) of the next response:")
    print("   ", ", ".join(f"skill {k} {p:.1f}" for k, p in forecast.items()))
