# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 10 · Fraud: few cases, a threshold, costs
#
# One case in fifty, and a miss that costs far more than a false alarm. Then accuracy says nothing: whoever always answers "no" is right in
# 98 of 100 cases. What helps is to rank well, to choose the threshold for what errors cost, and to measure with intervals.
#
# Real transactions may not be passed on. The cases here are a **stand-in**: people of the census of 1994 (UCI Adult, bundled with `tabular`),
# of whom those above 50,000 dollars, thinned out to 2 %, play the frauds. The way is the same with a table of your own.

# %%
import csv
import gzip
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from algoshelf.core import train
from algoshelf.registry import catalog

tabular = catalog().get("tabular").algorithm
Path("data").mkdir(exist_ok=True)
random = np.random.default_rng(1)
for channel, path in tabular.sample().items():
    with gzip.open(path, "rt") as stream:
        heading, *rows = csv.reader(stream)
    place = heading.index("class")
    rare = [row for row in rows if row[place] == ">50K"]
    common = [row for row in rows if row[place] != ">50K"]
    rows = common + [rare[i] for i in random.permutation(len(rare))[: len(common) // 49]]
    for row in rows:
        row[place] = "fraud" if row[place] == ">50K" else "fine"
    rows = [rows[i] for i in random.permutation(len(rows))]
    with open(f"data/{channel}.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([heading, *rows])
    frauds = sum(row[place] == "fraud" for row in rows)
    print(f"{channel}: {len(rows):,} rows, {frauds} frauds ({frauds / len(rows):.1%})")

# %% [markdown]
# ## A model with the usual threshold
#
# A case is called a fraud where that is the likelier class, that is, from a probability of 0.5 on.

# %%
paths = {"train": Path("data/train.csv")}
test = Path("data/test.csv")
options = tabular.Hyperparameters(network="linear", positive="fraud", epochs=8)
train(tabular, paths, options, Path("models/half"))
half = tabular.evaluate(tabular.model_fn("models/half"), test)
half

# %% [markdown]
# The accuracy is that of always saying "fine", and few of the frauds are found. Yet the ranking is good, as the ROC curve and
# the precision-recall curve show: the model knows more than its threshold lets out.
#
# ## What errors cost
#
# Say that a missed fraud costs 500, and a false alarm 10: somebody has to look at it. Then every threshold has a price. For a case of
# probability p, an alarm pays where 500 p > 10 (1 - p): from p = 0.02 on, if the probabilities were exact.

# %%
MISS, ALARM = 500, 10
figures = {curve.name: curve for curve in half.curves}
classes = {each.name: each for each in half.classes}
frauds, fine = classes["fraud"].support, classes["fine"].support
x, y = np.array(figures["ROC"].points).T  # false alarms and frauds found, as parts of all
cost = (MISS * frauds * (1 - y) + ALARM * fine * x) / half.examples

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
left.plot(x, y)
left.plot(x[cost.argmin()], y[cost.argmin()], "o", color="tab:orange", label="least cost")
left.set(xlabel="part of the fine cases that raise an alarm", ylabel="part of the frauds found")
left.legend(frameon=False)
right.plot(x, cost)
right.axhline(MISS * frauds / half.examples, color="0.5", linestyle="--", label="never an alarm")
right.set(xlabel="part of the fine cases that raise an alarm", ylabel="cost of a case")
right.legend(frameon=False)
figure.tight_layout()
plt.show()

# %% [markdown]
# The curve above was drawn on the test rows, and may not be used to choose by: the best point on it would flatter itself.
#
# ## The threshold by costs
#
# With `cost_fn` and `cost_fp` the training chooses the threshold on the rows that it holds out for validation, and keeps it in the model.
# Endpoint, batch transform and `predict` then answer by it.

# %%
options = tabular.Hyperparameters(
    network="linear", positive="fraud", epochs=8, cost_fn=MISS, cost_fp=ALARM
)
train(tabular, paths, options, Path("models/cost"))
by_cost = tabular.evaluate(tabular.model_fn("models/cost"), test)
by_cost

# %%


def price(evaluation):
    """What a case costs by the confusion matrix, whose rows are the true classes."""
    names = [each.name for each in evaluation.classes]
    positive, other = names.index("fraud"), names.index("fine")
    matrix = np.array(evaluation.confusion)
    return (MISS * matrix[positive, other] + ALARM * matrix[other, positive]) / matrix.sum()


never = MISS * frauds / half.examples
for name, value in (
    ("never an alarm", never),
    ("threshold 0.5", price(half)),
    ("threshold by cost", price(by_cost)),
):
    print(f"{name:<20}{value:6.2f} a case")

# %% [markdown]
# ## Which columns matter?

# %%
importances = tabular.importances(tabular.model_fn("models/cost"), test)
for each in importances[:6]:
    print(f"{each.name:<20}{each.loss:8.4f} of {each.metric} lost where it is shuffled")

# %% [markdown]
# Other rules than costs: `min_recall` (find nine of ten, with as few alarms as that allows), `threshold=f1`. `class_weights=balanced` makes the
# rare class count as much as the common one in the loss; its probabilities are then too high, so that a threshold from costs does better
# where the ranking is already good.
