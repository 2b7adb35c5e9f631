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
# # 9 · The review app
#
# A model reaches people by a page: somebody types a review, reads the verdict, and says where it is wrong. `algoshelf web` makes such an
# app of a model. Here the whole chain runs on this machine, without AWS: the page, the function that Lambda would run, a small gateway that
# speaks as API Gateway does, and the model behind it. The same files are what is deployed.

# %%
import gzip
import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import matplotlib.pyplot as plt
from algoshelf.core import Reporter, train
from algoshelf.registry import catalog

# %% [markdown]
# ## A model of reviews

# %%
reviews = catalog().get("text-classification").algorithm
with gzip.open(reviews.sample()["train"], "rt", encoding="utf-8") as stream:
    lines = stream.read().splitlines()
Path("data").mkdir(exist_ok=True)
Path("data/reviews.tsv").write_text("\n".join(lines[:3001]) + "\n", encoding="utf-8")
options = reviews.Hyperparameters(network="ngram", epochs=3)
artifact, metrics = train(
    reviews,
    {"train": Path("data/reviews.tsv")},
    options,
    Path("models/reviews"),
    reporter=Reporter(),
)
print(f"validation:accuracy {metrics['validation:accuracy']:.3f}")

# %% [markdown]
# ## The whole chain, here
#
# On a terminal you would run `algoshelf web models/reviews --local` and open the address that it prints. The notebook starts it beside
# itself, waits until it answers, and asks as the page does.

# %%
log = open("web.log", "w")
app = subprocess.Popen(
    ["algoshelf", "web", "models/reviews", "--local", "--port", "0", "--workers", "1"],
    stdout=log,
    stderr=log,
)
address = None
while not address:
    assert app.poll() is None, Path("web.log").read_text()
    time.sleep(0.1)
    address = re.search(r"open (\S+)/ in a browser", Path("web.log").read_text())
address = address[1]


def ask(path, body):
    """The status, and the answer to a JSON body."""
    request = urllib.request.Request(
        f"{address}{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


page = urllib.request.urlopen(f"{address}/", timeout=60)
page.status, page.headers["content-security-policy"]

# %% [markdown]
# Open `address` in a browser while the notebook runs, if you like. What the page sends, and what it gets:

# %%
texts = [
    "A warm and funny film with two wonderful actors.",
    "Two hours of my life that I will never get back.",
    "The plot is thin, but I was moved all the same.",
]
verdicts = [ask("/ask", {"text": text})[1] for text in texts]
verdicts[0]

# %%
figure, axes = plt.subplots(figsize=(6, 1.6))
shares = [verdict["answer"]["probabilities"]["positive"] for verdict in verdicts]
axes.barh(
    [text[:44] + "…" for text in texts],
    shares,
    color=["tab:green" if share >= 0.5 else "tab:red" for share in shares],
)
axes.axvline(0.5, color="0.5", linewidth=0.8)
axes.set(xlim=(0, 1), xlabel="probability of positive")
axes.invert_yaxis()
plt.show()

# %% [markdown]
# Wrong input is refused with a sentence:

# %%
ask("/ask", {"txt": "a typing error"})

# %% [markdown]
# ## "Wrong?": tomorrow's training data
#
# Under each verdict the page offers to correct it. What is kept, and that it is kept, stands beside the button: without consent nothing is
# stored.

# %%
correction = {"text": texts[2], "label": "positive", "answer": verdicts[2]["answer"]}
print(ask("/corrections", {**correction, "consent": False}))
print(ask("/corrections", {**correction, "consent": True})[0])
kept = json.loads(Path("corrections.jsonl").read_text().splitlines()[-1])
{name: kept[name] for name in ("text", "label")}

# %% [markdown]
# Those lines train as they are (`algoshelf train text-classification --train corrections.jsonl`), and `algoshelf drift --corrections` puts them first
# among what is to be labelled ([drift](08-drift.ipynb)).

# %%
app.terminate()
print("exit code", app.wait(timeout=60))
log.close()

# %% [markdown]
# ## The same as a stack for AWS
#
# `--output` writes what would be deployed: the page, the function, and a CloudFormation template with an HTTP API, throttling, a role that may
# ask that one endpoint and nothing else, a bucket for corrections, and an alarm on cost. Of a model folder instead of an endpoint's name, the
# function holds the model itself, by ONNX Runtime, and nothing is paid while nobody asks.

# %% language="bash"
# rm -rf review-app  # of an earlier run
# AWS_DEFAULT_REGION=us-east-1 algoshelf web reviews --output review-app 2>&1
# find review-app -type f | sort

# %% [markdown]
# `algoshelf sagemaker web deploy review-app` shows the price and asks: **that is BILLED**, as far as people use it. `algoshelf sagemaker web list`
# shows what there is, `algoshelf sagemaker web delete NAME` removes all of it.
