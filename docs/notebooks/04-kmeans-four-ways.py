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
# # 4 · k-means on Iris, four ways
#
# The same 150 flowers in three clusters: by scikit-learn here, by the catalog's `kmeans` here, by `kmeans` as a SageMaker job, and by
# SageMaker's own built-in algorithm beside it. Then a batch transform job gives every flower its cluster.

# %%
import json
from pathlib import Path

import boto3
import matplotlib.pyplot as plt
import numpy as np
from algoshelf.core import train
from algoshelf.registry import catalog

# %% [markdown]
# AWS is pretended by the next cell; with `ALGOSHELF_NOTEBOOK_AWS=real` it is your account, and cells that say **BILLED** cost money
# ([more on this](03-train-evaluate-deploy.ipynb)).

# %%
import pretended_aws

aws = pretended_aws.connect()

# %%
ours = catalog().get("kmeans").algorithm
iris = ours.sample()["train"]
flowers = np.loadtxt(iris, delimiter=",", skiprows=1)
Path("data").mkdir(exist_ok=True)
np.savetxt("data/iris.csv", flowers, fmt="%.1f", delimiter=",")
print(flowers.shape, "of", Path(iris).open().readline().strip())

# %% [markdown]
# ## 1. scikit-learn, here

# %%
from sklearn.cluster import KMeans

theirs = KMeans(n_clusters=3, n_init=10, random_state=1).fit(flowers)
print(f"sum of squared distances: {theirs.inertia_:.4f}")

# %% [markdown]
# ## 2. `kmeans` of the catalog, here
#
# The same sum, computed on MXNet, which splits the rows over devices and hosts if there are any. The evaluation draws the flowers in
# the plane of their two principal components.

# %%
options = ours.Hyperparameters(k=3)
artifact, metrics = train(ours, {"train": Path("data/iris.csv")}, options, Path("models/iris"))
print(f"sum of squared distances: {metrics['train:ssd']:.4f}")

# %%
model = ours.model_fn("models/iris")
evaluation = ours.evaluate(model, Path("data/iris.csv"))
evaluation

# %% [markdown]
# Are they the same clusters? Numbers of clusters are arbitrary, so a table of one against the other tells: one flower count a row and
# column means that they agree about every flower.

# %%
answer = ours.predict_fn(flowers.astype("float32"), model)
clusters = np.array(
    [
        row["closest_cluster"]
        for row in json.loads(ours.output_fn(answer, "application/json"))["predictions"]
    ],
    int,
)
table = np.zeros((3, 3), int)
np.add.at(table, (theirs.labels_, clusters), 1)
table

# %% [markdown]
# ## 3. Script mode: `kmeans` in a SageMaker job: BILLED
#
# AWS's MXNet image runs the code that the command packs. Without `--yes` it shows the price first, and asks.

# %% language="bash"
# algoshelf sagemaker train kmeans --train data/iris.csv --k 3 --instance ml.m5.xlarge --max-run 30m \
#     --name iris-ours --wait --yes 2>&1

# %% [markdown]
# The job's model is the one that was trained here:

# %%
s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
uri = sagemaker.describe_training_job(TrainingJobName="iris-ours")["ModelArtifacts"][
    "S3ModelArtifacts"
]
bucket, _, key = uri[len("s3://") :].partition("/")
s3.download_file(bucket, key, "model.tar.gz")

# %% language="bash"
# mkdir -p models/there && tar -xzf model.tar.gz -C models/there
# cmp models/iris/model-0000.params models/there/model-0000.params && echo "the same centroids, byte for byte"

# %% [markdown]
# ## 4. SageMaker's built-in k-means, beside ours: BILLED
#
# It takes the very channel that ours has read, and answers in the same form (`closest_cluster`, `distance_to_cluster`), so that one
# upload serves both. It runs in an image of AWS's that nobody else has: the pretence takes note of the request, and computes nothing.

# %%
job = sagemaker.describe_training_job(TrainingJobName="iris-ours")
builtin = "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"  # of us-east-1
sagemaker.create_training_job(
    TrainingJobName="iris-builtin",
    AlgorithmSpecification={"TrainingImage": builtin, "TrainingInputMode": "File"},
    HyperParameters={"k": "3", "feature_dim": "4"},
    InputDataConfig=[
        {**channel, "ContentType": "text/csv;label_size=0"} for channel in job["InputDataConfig"]
    ],
    OutputDataConfig={"S3OutputPath": f"s3://{aws.bucket}/builtin"},
    ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
    StoppingCondition={"MaxRuntimeInSeconds": 1800},
    RoleArn=job["RoleArn"],
)
described = sagemaker.describe_training_job(TrainingJobName="iris-builtin")
described["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"]

# %% [markdown]
# A model of the built-in algorithm can come home: `algoshelf adopt kmeans model.tar.gz` makes one of ours of it.
#
# ## All flowers at once: batch transform: BILLED
#
# No endpoint, nothing to delete afterwards: a job reads the file, and writes a line for each of its lines.

# %% language="bash"
# algoshelf sagemaker transform iris-ours data/iris.csv --instance ml.m5.xlarge --accept text/csv --name iris-all --wait --yes 2>&1

# %%
output = sagemaker.describe_transform_job(TransformJobName="iris-all")["TransformOutput"][
    "S3OutputPath"
]
bucket, _, prefix = output[len("s3://") :].partition("/")
body = s3.get_object(Bucket=bucket, Key=f"{prefix}/iris.csv.out")["Body"].read().decode()
answered = np.loadtxt(body.splitlines(), delimiter=",")
print((answered[:, 0] == clusters).all(), "for all", len(answered))

figure, axes = plt.subplots(figsize=(5, 3.2))
points = axes.scatter(flowers[:, 2], flowers[:, 3], c=answered[:, 0], cmap="tab10", s=18)
axes.set(xlabel="petal length [cm]", ylabel="petal width [cm]")
plt.show()
