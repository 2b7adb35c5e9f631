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
# # 1 · Research: handwritten digits
#
# Every algorithm of the catalog began as somebody's notebook. This one looks at handwritten digits, writes a
# small network by hand, trains it in the notebook, and looks at what it gets wrong. The [next one](02-notebook-to-algorithm.ipynb)
# makes an algorithm of it that anybody can train and deploy by one command.
#
# It runs on a laptop without a GPU, in about half a minute.

# %%
import matplotlib.pyplot as plt
import numpy as np
from algoshelf.core import mx
from algoshelf.registry import catalog

catalog()

# %% [markdown]
# ## Look at the data
#
# `mnist-cnn` brings 10,000 digits of MNIST along: 8,000 to learn from, and 2,000 to test on. An algorithm reads its data by
# `dataset`, from MNIST's own files as well as from a folder of pictures or a table.

# %%
algorithm = catalog().get("mnist-cnn").algorithm
options = algorithm.Hyperparameters()
paths = algorithm.sample()
train_data = algorithm.dataset(paths["train"], "train", options)
test_data = algorithm.dataset(paths["test"], "test", options)


def numbers(data):
    """Images (N, 1, 28, 28) float32 in [0, 1], and labels (N,)."""
    images, labels = data.take(np.arange(len(data)))
    return images, labels.astype(int)


x, y = numbers(train_data)
x_test, y_test = numbers(test_data)
print("to learn from:", x.shape, "from", x.min(), "to", x.max())
print("to test on:   ", x_test.shape)
print("of each digit:", np.bincount(y))

# %%
figure, axes = plt.subplots(3, 10, figsize=(10, 3.2))
for digit, column in enumerate(axes.T):
    for cell, image in zip(column, x[y == digit]):
        cell.imshow(image[0], cmap="gray_r")
        cell.set_axis_off()
plt.show()

# %% [markdown]
# How alike are the digits before anything is learned? The mean picture of each one is a first model: take a new digit for the one
# whose mean is nearest.

# %%
means = np.stack([x[y == digit].mean(axis=0).ravel() for digit in range(10)])
distances = ((x_test.reshape(len(x_test), 1, -1) - means) ** 2).sum(axis=-1)
print(f"accuracy of the nearest mean: {(distances.argmin(axis=1) == y_test).mean():.4f}")

figure, axes = plt.subplots(1, 10, figsize=(10, 1.2))
for cell, mean in zip(axes, means):
    cell.imshow(mean.reshape(28, 28), cmap="gray_r")
    cell.set_axis_off()
plt.show()

# %% [markdown]
# ## A first network, and its training by hand
#
# Two convolutions, two layers on top: Gluon in its plainest form. `autograd.record` remembers what was computed, `backward`
# goes back through it, and `Trainer` takes one step. (`algoshelf.core.mx` is MXNet, with what its last release needs to run beside
# today's numpy.)

# %%
autograd, gluon, nd, nn = mx.autograd, mx.gluon, mx.nd, mx.gluon.nn

mx.random.seed(1)
network = nn.HybridSequential()
network.add(nn.Conv2D(16, 5, activation="relu"), nn.MaxPool2D(2))
network.add(nn.Conv2D(32, 3, activation="relu"), nn.MaxPool2D(2))
network.add(nn.Dense(64, activation="relu"), nn.Dense(10))
network.initialize(mx.init.Xavier())
network.hybridize()

loss = gluon.loss.SoftmaxCrossEntropyLoss()
trainer = gluon.Trainer(network.collect_params(), "adam", {"learning_rate": 2e-3})
random = np.random.default_rng(1)


def accuracy(images, labels):
    return float((network(nd.array(images)).asnumpy().argmax(axis=1) == labels).mean())


history = []
for epoch in range(4):
    total = 0.0
    for batch in np.split(random.permutation(len(x)), len(x) // 50):
        images, labels = nd.array(x[batch]), nd.array(y[batch])
        with autograd.record():
            losses = loss(network(images), labels)
        losses.backward()
        trainer.step(len(batch))
        total += float(losses.sum().asscalar())
    history.append((total / len(x), accuracy(x_test, y_test)))
    print(
        f"epoch {epoch + 1}: loss {history[-1][0]:.4f}, accuracy on the test digits {history[-1][1]:.4f}"
    )

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.6))
epochs = range(1, len(history) + 1)
left.plot(epochs, [each[0] for each in history], marker="o")
left.set(xlabel="epoch", ylabel="loss", xticks=epochs)
right.plot(epochs, [each[1] for each in history], marker="o", color="tab:green")
right.set(xlabel="epoch", ylabel="test accuracy", xticks=epochs)
figure.tight_layout()
plt.show()

# %% [markdown]
# ## What does it get wrong?
#
# One figure says little. The digits that it takes for others say where to go on.

# %%
probabilities = nd.softmax(network(nd.array(x_test))).asnumpy()
guessed = probabilities.argmax(axis=1)
wrong = np.flatnonzero(guessed != y_test)
surest = wrong[np.argsort(-probabilities[wrong].max(axis=1))][:10]
print(f"{len(wrong)} of {len(y_test)} are wrong; these are those of which it was surest")

figure, axes = plt.subplots(1, 10, figsize=(10, 1.6))
for cell, index in zip(axes, surest):
    cell.imshow(x_test[index, 0], cmap="gray_r")
    cell.set_title(f"{y_test[index]}, not {guessed[index]}", fontsize=9)
    cell.set_axis_off()
plt.show()

# %% [markdown]
# ## What a notebook leaves out
#
# The loop above is good for finding out, and for nothing else. It chose its epochs by looking at the test digits, it can't be
# interrupted without losing everything, a second run on another machine gives another model, and nobody but this notebook can ask
# it anything. The network itself is twelve lines; everything else is the same for every network. That is what the catalog has for all
# of them, and what the [next notebook](02-notebook-to-algorithm.ipynb) uses.
