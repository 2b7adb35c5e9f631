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
# # 8 · Drift: when the world changes
#
# A model of film reviews is asked about gadgets. Nothing fails, nobody is told, and its answers get worse. This notebook sees it, without
# labels and with some; trains again from the old model; and asks whether the new one is better on the new and not worse on the old. What
# follows, moving the traffic step by step and back, is in [notebook 7](07-ab-and-rolling-update.ipynb); the whole story with commands is
# in [Updating a model](../updating.md).

# %%
import csv
import gzip
import json
import re
import subprocess
from pathlib import Path

import matplotlib.pyplot as plt
from algoshelf.core import Reporter, train
from algoshelf.registry import catalog

# %% [markdown]
# ## Two kinds of reviews
#
# The sample of `text-classification` has both: films, in whole sentences, and short texts about everything else. 1,500 films to learn from; the
# rest is what comes in.

# %%
reviews = catalog().get("text-classification").algorithm
Path("data").mkdir(exist_ok=True)


def read(channel):
    """Reviews (text, label) of films, and of gadgets."""
    with gzip.open(reviews.sample()[channel], "rt", encoding="utf-8") as stream:
        rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    plain = [row for row in rows if not re.search("[@#]|http", row[0])]
    return [row for row in plain if not row[0][0].islower()], [
        row for row in plain if row[0][0].islower()
    ]


def write(name, rows):
    Path(f"data/{name}.tsv").write_text(
        "\n".join("\t".join(row) for row in [["text", "label"], *rows]) + "\n", encoding="utf-8"
    )


films, gadgets = read("train")
test_films, test_gadgets = read("test")
write("films", films[:1500])
write("usual", test_films[:300])
write("today", test_films[300:600])
write("gadgets", test_gadgets[:300])
print("a film:  ", test_films[1][0][:90])
print("a gadget:", test_gadgets[1][0][:90])

# %%
options = reviews.Hyperparameters(network="ngram", epochs=3)
artifact, metrics = train(
    reviews, {"train": Path("data/films.tsv")}, options, Path("models/old"), reporter=Reporter()
)

# %% [markdown]
# ## An ordinary day
#
# `--baseline` is what requests are to be like: the test examples of the training. `--current` is what comes in now: requests that
# `algoshelf serve --capture` or SageMaker's data capture has kept, or a file as here. Other films than yesterday's are no drift. The exit
# code says so: 0, and 3 for drift, so that a schedule can act on it.


# %%
def drift(current, *more):
    """What `algoshelf drift` finds, and how it ends."""
    words = ["--baseline", "data/usual.tsv", "--current", current, *more, "--json"]
    done = subprocess.run(
        ["algoshelf", "drift", "models/old", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    report = json.loads(done.stdout)
    for change in report["changes"]:
        print(
            f"{change['part'] + ' ' + change['subject']:<40}{change['verdict']:<12}effect {change['effect']:.3f}"
        )
    print("exit code", done.returncode)
    return report["changes"]


_ = drift("data/today.tsv")

# %% [markdown]
# ## Another kind of reviews

# %%
changes = drift("data/gadgets.tsv")

figure, axes = plt.subplots(figsize=(6, 2.6))
names = [f"{change['part']} {change['subject']}" for change in changes]
colours = ["tab:red" if change["verdict"] == "drift" else "0.7" for change in changes]
axes.barh(names, [change["effect"] for change in changes], color=colours)
axes.invert_yaxis()
axes.set(xlabel="effect (0: no change); drift is red")
plt.show()

# %% [markdown]
# All tests are corrected together, so that one comparison in a hundred of unchanged requests says "drift". What no test of requests sees
# is a truth that has changed while the requests stay as they were. That needs labels.
#
# ## How bad is it? Some labels
#
# With labels for some of today's requests the metric itself is compared, with its interval:

# %%
changes = drift("data/gadgets.tsv", "--labels", "data/gadgets.tsv")
(accuracy,) = [change for change in changes if change["part"] == "metric"]
print("accuracy", accuracy["baseline"], "| now", accuracy["current"])

# %% [markdown]
# ## Train again, from the old model
#
# `--model` begins with what the old model has learned. The old examples stay among the new ones: trained on the new alone, a network
# forgets.

# %%
write("both", films[:1500] + gadgets[:1500])

# %% language="bash"
# algoshelf train text-classification --train data/both.tsv --network ngram --epochs 3 --model models/old --output models/new 2> /dev/null | head -n 4

# %% [markdown]
# Better on the new, and not worse on the old? The figure of validation above doesn't tell: a tenth of `both` was held out, and the old
# model has learned from some of that already. The test files decide, which neither has seen.

# %%
figure, axes = plt.subplots(figsize=(6, 2.4))
for place, name in enumerate(("old", "new")):
    model = reviews.model_fn(f"models/{name}")
    for side, test in enumerate(("usual", "gadgets")):
        found = reviews.evaluate(model, Path(f"data/{test}.tsv"))
        value, (low, high) = found.metrics["accuracy"], found.intervals["accuracy"]
        axes.errorbar(
            value,
            side + 0.15 * place,
            xerr=[[value - low], [high - value]],
            fmt="o",
            capsize=3,
            color=("tab:gray", "tab:blue")[place],
            label=f"{name} model" if side == 0 else None,
        )
        print(f"{name} model, {test}: accuracy {value:.3f} ({low:.3f} to {high:.3f})")
axes.set(
    yticks=[0, 1],
    yticklabels=["films", "gadgets"],
    xlabel="accuracy, with 95 % intervals",
    ylim=(-0.5, 1.6),
)
axes.legend(frameon=False, loc="lower right")
plt.show()
