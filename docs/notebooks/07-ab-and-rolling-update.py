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
# # 7 · Two models behind one endpoint: A/B test and rolling update
#
# A new model is better on the test data. Is it better for those who ask? First both share the requests of an endpoint, and are compared
# (an A/B test). Then a new model takes over step by step, and is taken back by itself when it does worse (a rolling update).

# %%
import csv
import gzip
import json
import threading
from collections import Counter
from pathlib import Path

import boto3
import matplotlib.pyplot as plt
import numpy as np
from algoshelf.core import Reporter, train
from algoshelf.registry import catalog

# %% [markdown]
# AWS is pretended by the next cell; with `ALGOSHELF_NOTEBOOK_AWS=real` it is your account, and cells that say **BILLED** cost money
# ([more on this](03-train-evaluate-deploy.ipynb)).

# %%
import pretended_aws

aws = pretended_aws.connect()

# %% [markdown]
# ## Four models
#
# Who earns more than 50,000 dollars? Models that have learned from 100, 3,000 and 6,000 people, and a bad one: somebody has swapped the
# answers in its table. 600 other people will ask.

# %%
tabular = catalog().get("tabular").algorithm
with gzip.open(tabular.sample()["train"], "rt") as stream:
    heading, *people = csv.reader(stream)
Path("data").mkdir(exist_ok=True)


def write(name, rows):
    with open(f"data/{name}.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([heading, *rows])


place = heading.index("class")
other = {"<=50K": ">50K", ">50K": "<=50K"}
swapped = [[other.get(cell, cell) for cell in row] for row in people[:400]]
for name, rows in (
    ("little", people[:100]),
    ("more", people[:3000]),
    ("most", people[:3000] + people[5000:8000]),
    ("bad", swapped),
):
    write(name, rows)
    options = tabular.Hyperparameters(network="linear", epochs=8, target="class")
    train(
        tabular,
        {"train": Path(f"data/{name}.csv")},
        options,
        Path(f"models/{name}"),
        reporter=Reporter(),
    )
asking = people[4000:4600]

# %% [markdown]
# ## A/B test: BILLED until it is deleted
#
# Both models behind one address, each with half of the requests. Weights are numbers of your choice: `=9` and `=1` would give the second
# a tenth.

# %% language="bash"
# algoshelf sagemaker deploy models/little=1 models/more=1 --instance ml.m5.large --name people --ttl 2h --yes 2>/dev/null

# %%
runtime = boto3.client("sagemaker-runtime")


def ask(row):
    """The answer to a person's columns, and which model gave it."""
    question = {name: cell for name, cell in zip(heading, row) if name != "class"}
    answer = runtime.invoke_endpoint(
        EndpointName="people",
        ContentType="application/json",
        Accept="application/json",
        Body=json.dumps({"instances": [question]}),
    )
    (found,) = json.loads(answer["Body"].read())["predictions"]
    return found["label"], answer["InvokedProductionVariant"]


asked, right = Counter(), Counter()
for row in asking[:300]:
    label, variant = ask(row)
    asked[variant] += 1
    right[variant] += label == row[place]

figure, axes = plt.subplots(figsize=(5, 2))
names = sorted(asked)
shares = [right[name] / asked[name] for name in names]
spread = [1.96 * np.sqrt(share * (1 - share) / asked[name]) for name, share in zip(names, shares)]
axes.barh(names, shares, xerr=spread, color=["tab:gray", "tab:blue"], capsize=3)
axes.set(xlim=(0.5, 1), xlabel="right answers, with 95 % intervals")
plt.show()
for name in names:
    print(f"{name}: {right[name]} of {asked[name]} right")

# %% [markdown]
# Whether that is more than chance is a matter of numbers: a test of the difference of two shares says how often chance alone
# would give such a difference. 300 requests tell models apart that are far from one another; the closer they are, the more it takes.

# %%
from scipy.stats import fisher_exact

table = [[right[name], asked[name] - right[name]] for name in names]
print(f"p = {fisher_exact(table).pvalue:.3f}")

# %% [markdown]
# The test ends by keeping one of the two. The other variant is removed, with its model:

# %%
better = max(names, key=lambda name: right[name] / asked[name])
# !algoshelf sagemaker update people --only {better} --yes 2>&1

# %% [markdown]
# ## A rolling update that goes well: BILLED
#
# From one model to another in steps: first 20 % of the requests, then all, and a look at errors and latency after each step. People go on
# asking meanwhile; nobody is turned away. (`--bake` is half a minute here. At AWS let a step last some minutes: CloudWatch's figures are
# that late.)

# %%
cloudwatch = boto3.client("cloudwatch")


def people_asking(stop, rows):
    """People who ask one after the other, and whose corrections are measured as ``Quality``."""
    for row in rows * 20:
        if stop.is_set():
            return
        label, variant = ask(row)
        dimensions = [
            {"Name": "EndpointName", "Value": "people"},
            {"Name": "VariantName", "Value": variant},
        ]
        right = {
            "MetricName": "Quality",
            "Dimensions": dimensions,
            "Value": float(label == row[place]),
        }
        cloudwatch.put_metric_data(Namespace="People", MetricData=[right])


def while_people_ask(command):
    stop = threading.Event()
    asking_now = threading.Thread(target=people_asking, args=(stop, asking[300:]))
    asking_now.start()
    get_ipython().system(command)
    stop.set()
    asking_now.join()


while_people_ask(
    "algoshelf sagemaker update people models/most --steps 20,100 --bake 30s --metric People/Quality:-20% --yes 2>&1"
)

# %% [markdown]
# ## One that is taken back: BILLED
#
# The bad model answers fast and without errors; only those who ask see that it is wrong. `--metric People/Quality:-20%` watches a metric
# of our own, and the update is rolled back as soon as it falls by more than a fifth.

# %%
while_people_ask(
    "algoshelf sagemaker update people models/bad --steps 30,100 --bake 30s --metric People/Quality:-20% --yes 2>&1"
)

# %% [markdown]
# ## Back to zero cost

# %% language="bash"
# algoshelf sagemaker delete people --yes 2>/dev/null
# algoshelf sagemaker list 2>/dev/null
