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
# # 3 · Train, evaluate, deploy
#
# The same algorithm three times: trained and measured on this machine, trained by SageMaker, and as an endpoint that answers over HTTP
# until it is deleted. Each step is one command, and what ran here is what runs there.

# %%
import io
import json
from pathlib import Path

import boto3
import matplotlib.pyplot as plt
import numpy as np
from algoshelf.core import train
from algoshelf.registry import catalog
from PIL import Image

# %% [markdown]
# ## AWS, or a pretence of it
#
# The next cell pretends AWS on this machine: jobs, buckets and endpoints are kept in memory by [moto](https://github.com/getmoto/moto),
# trainings and answers are computed here. You can run everything below without an account, and nothing is billed.
#
# With the environment variable `ALGOSHELF_NOTEBOOK_AWS=real`, set before Jupyter is started, the very same cells go to **your account**,
# with your credentials and the role in `ALGOSHELF_ROLE` ([how to make it](../sagemaker.md#2-the-account-once)). Cells that then cost
# money say **BILLED**.

# %%
import pretended_aws

aws = pretended_aws.connect()

# %% [markdown]
# ## Train and evaluate here
#
# Digits of MNIST once more, 1,000 to learn from and 500 to test on, so that this takes seconds.

# %%
mnist = catalog().get("mnist-cnn").algorithm
Path("data").mkdir(exist_ok=True)
for channel, count in (("train", 1000), ("test", 500)):
    digits = mnist.dataset(mnist.sample()[channel], channel, mnist.Hyperparameters())
    images, labels = digits.take(np.random.default_rng(1).permutation(len(digits))[:count])
    pixels = (images.reshape(count, -1) * 255).round()
    np.savetxt(f"data/{channel}.csv", np.column_stack([labels, pixels]), fmt="%d", delimiter=",")

options = mnist.Hyperparameters(epochs=3, augmented=0.0, batch_size=25)
artifact, _ = train(mnist, {"train": Path("data/train.csv")}, options, Path("models/digits"))

# %%
model = mnist.model_fn("models/digits")
mnist.evaluate(model, Path("data/test.csv"))

# %% [markdown]
# ## What would it cost?
#
# `cost` needs no account and sends nothing: the price of the instance, and the most that a job can cost before AWS stops it.

# %% language="bash"
# algoshelf sagemaker cost ml.m5.xlarge --max-run 30m 2>&1

# %% [markdown]
# ## Train there: BILLED
#
# The data is uploaded once, the code is packed for AWS's MXNet image, and a job is created. Without `--yes` the command shows the worst
# case and asks. The hyperparameters are those from above; a mistyped one is refused before anything is sent.

# %% language="bash"
# algoshelf sagemaker train mnist-cnn --train data/train.csv --instance ml.m5.xlarge --max-run 30m \
#     --epochs 3 --augmented 0 --batch-size 25 --name digits-1 --wait --yes 2>&1

# %% language="bash"
# algoshelf sagemaker status digits-1 2>/dev/null

# %% [markdown]
# ## Deploy: BILLED until it is deleted
#
# `deploy` takes a model folder, an archive in S3, or the name of a job. `--ttl` writes down when `algoshelf sagemaker sweep` may delete it.

# %% language="bash"
# algoshelf sagemaker deploy digits-1 --instance ml.m5.large --name digits --ttl 2h --yes 2>&1

# %% [markdown]
# ## Ask it
#
# Any client of AWS can: a request has a content type, and names the one of its answer. A picture goes as it is.

# %%
test = mnist.dataset(mnist.sample()["test"], "test", mnist.Hyperparameters())
images, labels = test.take(np.arange(0, 2000, 250))
runtime = boto3.client("sagemaker-runtime")


def ask(image):
    png = io.BytesIO()
    Image.fromarray((image[0] * 255).astype("uint8")).save(png, "png")
    answer = runtime.invoke_endpoint(
        EndpointName="digits",
        ContentType="image/png",
        Accept="application/json",
        Body=png.getvalue(),
    )
    return json.loads(answer["Body"].read())["predictions"][0]


answers = [ask(image) for image in images]
answers[0]

# %%
figure, axes = plt.subplots(2, 8, figsize=(10, 2.8), gridspec_kw={"height_ratios": [1.4, 1]})
for top, bottom, image, answer in zip(*axes, images, answers):
    top.imshow(image[0], cmap="gray_r")
    top.set_axis_off()
    bottom.bar(list(answer["probabilities"]), answer["probabilities"].values())
    bottom.set(ylim=(0, 1), yticks=[])
    bottom.tick_params(labelsize=6)
plt.show()

# %% [markdown]
# ## Back to zero cost
#
# An endpoint is billed whether anybody asks it or not. `list` shows what algoshelf has made and is billed now, `delete` removes an
# endpoint with its configuration and model.

# %% language="bash"
# exec 2>&1
# algoshelf sagemaker list
# algoshelf sagemaker delete digits --yes
# algoshelf sagemaker list

# %% [markdown]
# Next: the same algorithm [four ways](04-kmeans-four-ways.ipynb), or the same job at [three levels](05-high-and-low-level.ipynb).
