"""Fit deep knowledge tracing to students made here, judge it on others, and follow one of them. Needs alsim[dkt]."""

try:
    import torch
except ModuleNotFoundError:
    raise SystemExit("dkt.py needs torch, which is not installed: pip install 'alsim[dkt]'") from None

import numpy as np

from alsim.models import Responses, load_fit, score
from alsim.models.dkt import fit

torch.set_num_threads(1)  # one thread: the same bits each time, and no slower for a network this small

# 1,500 students answer 30 questions to 6 skills. Skills come in pairs: who has mastered one of a pair answers both
# well, and each question to either may be the one from which it is learnt. That one helps the other is nowhere said.
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
fitted = fit(training, hidden=32, embedding=16, progress=lambda done, total, words: print(f"epoch {done}: {words}"))

# What is known without a student's history: how often each skill was answered well.
mean = np.bincount(training.skill, training.correct) / np.bincount(training.skill)
print("mean of the skill:", score(test.correct, mean[test.skill]))
print("deep knowledge tracing:", score(test.correct, fitted.predict(test)))

# A fit is two files, fit.json and fit.npz, and needs no PyTorch from here on.
fitted.save("fit.json")
tracker = load_fit("fit.json").tracker()
print("forecasts for skills", *tracker.fit.skills)
for name, answer in (("0", 1), ("0", 1), ("2", 0)):
    print(f"after {name} answered {'well' if answer else 'badly'}:", tracker.update("ann", name, answer).round(2))
