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
# # 6 · Tuning
#
# Which learning rate, how many units? `algoshelf tune` searches the ranges that an algorithm declares for its hyperparameters, and then
# asks a question that is often left out: is the best trial better than the defaults, or only lucky? The same ranges go to SageMaker's
# automatic tuning.

# %%
import csv
import gzip
import json
from pathlib import Path

from algoshelf.registry import catalog
from IPython.display import Markdown

# %% [markdown]
# AWS is pretended by the next cell; with `ALGOSHELF_NOTEBOOK_AWS=real` it is your account, and cells that say **BILLED** cost money
# ([more on this](03-train-evaluate-deploy.ipynb)).

# %%
import pretended_aws

aws = pretended_aws.connect()

# %% [markdown]
# ## What can be tuned
#
# Each hyperparameter has a type, a default and a range; the algorithm says which of them are worth a search.

# %%
tabular = catalog().get("tabular").algorithm
for name, search in tabular.Hyperparameters.search_space.items():
    print(f"{name:<16}{search}")

# %% [markdown]
# ## Search
#
# 800 people of the census of 1994: who earns more than 50,000 dollars? Five trials of a logistic regression, which take some seconds
# each; a search for a model of your own would take fifty. The first trial is the defaults. A search that is interrupted goes on when
# the same command is given again.

# %%
Path("data").mkdir(exist_ok=True)
with gzip.open(tabular.sample()["train"], "rt") as stream:
    rows = list(csv.reader(stream))
with open("data/people.csv", "w", newline="") as stream:
    csv.writer(stream).writerows(rows[:801])

# %% language="bash"
# algoshelf tune tabular --train data/people.csv --network linear --trials 5 --repeats 2 \
#     --vary learning_rate=1e-4..0.1 --vary bins=0..64 --epochs 6 --output models/tuned --json > tuned.json 2> log.txt
# tail -n 4 log.txt

# %% [markdown]
# ## Better, or lucky?
#
# The best of many trials looks good because it is the best of many. So where another than the first is the best, it and the defaults are
# trained again with other seeds, which no trial had, and the verdict is by these. Five trials seldom beat good defaults.

# %%
tuned = json.loads(Path("tuned.json").read_text())
tuned["verdict"]

# %%
Markdown(Path("models/tuned-report/report.md").read_text())

# %% [markdown]
# `models/tuned-report/report.html` has the same as a page, with plots; `models/tuned` is the model, ready for `evaluate` and `deploy`.
#
# ## The same search at AWS: BILLED
#
# SageMaker's automatic tuning runs each trial as a training job. With `--dry-run` the command shows what it would ask for, and creates
# nothing:

# %%
# printed = !algoshelf sagemaker tune tabular --train data/people.csv --network linear --jobs 8 --instance ml.m5.xlarge --max-run 30m --name people --dry-run --yes 2>/dev/null
request = json.loads("\n".join(printed))["requests"][-1]["parameters"]
print(json.dumps(request["HyperParameterTuningJobConfig"], indent=1))
