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
# # 5 · High level and low level
#
# One training job, asked for in three ways: by one command, by AWS's SageMaker SDK, and by a single request of boto3's. At the bottom
# they are the same request, so choose by what surrounds it: a shell, a program written for the SDK, or a service that has boto3 alone.

# %%
import json
import logging
from pathlib import Path

import boto3
import numpy as np
from algoshelf import registry
from algoshelf.registry import catalog

# %% [markdown]
# AWS is pretended by the next cell; with `ALGOSHELF_NOTEBOOK_AWS=real` it is your account, and cells that say **BILLED** cost money
# ([more on this](03-train-evaluate-deploy.ipynb)).

# %%
import pretended_aws

aws = pretended_aws.connect()

# %%
Path("data").mkdir(exist_ok=True)
rows = np.loadtxt(catalog().get("kmeans").algorithm.sample()["train"], delimiter=",", skiprows=1)
np.savetxt("data/iris.csv", rows, fmt="%.1f", delimiter=",")
sagemaker = boto3.client("sagemaker")

# %% [markdown]
# ## One command: BILLED
#
# It checks hyperparameters, data, instance type, quota and role before anything is created, shows the worst case, uploads what is not
# there yet, and shows the log.

# %% language="bash"
# algoshelf sagemaker train kmeans --train data/iris.csv --k 3 --instance ml.m5.xlarge --max-run 30m \
#     --name by-command --wait --yes 2>&1

# %% [markdown]
# With `--dry-run` it sends nothing that creates anything, and prints the request instead. This is the whole of what AWS is asked:

# %%
# printed = !algoshelf sagemaker train kmeans --train data/iris.csv --k 3 --instance ml.m5.xlarge --max-run 30m --name by-command-2 --dry-run --yes 2>/dev/null
request = json.loads("\n".join(printed))["requests"][-1]["parameters"]
request["AlgorithmSpecification"]["MetricDefinitions"] = "… a regular expression for each metric"
print(json.dumps(request, indent=1))

# %% [markdown]
# ## AWS's SDK: BILLED
#
# `registry.estimator` is the SDK's own `MXNet` estimator (version 2), set up for an algorithm of the catalog: entry point, packed code,
# metrics, checked hyperparameters. Everything that the SDK can do with an estimator can be done with it. The SDK's version 3 has no MXNet,
# and AWS ends version 2 in July 2027.

# %%
logging.disable(logging.INFO)  # the SDK tells a lot
estimator = registry.estimator(
    "kmeans",
    instance_type="ml.m5.xlarge",
    hyperparameters={"k": 3},
    max_run=1800,
    role=aws.role,
)
data = sagemaker.describe_training_job(TrainingJobName="by-command")["InputDataConfig"][0]
uri = data["DataSource"]["S3DataSource"]["S3Uri"]
estimator.fit({"train": uri}, job_name="by-sdk", wait=False)
print(type(estimator).__module__, type(estimator).__name__)

# %% [markdown]
# ## boto3: BILLED
#
# The lowest level is one request. Here it reuses the packed code of the job above; `algoshelf package kmeans --as script` writes the
# same folder to pack by hand.

# %%
before = sagemaker.describe_training_job(TrainingJobName="by-command")
request = {
    "TrainingJobName": "by-boto3",
    "AlgorithmSpecification": {
        "TrainingImage": before["AlgorithmSpecification"]["TrainingImage"],
        "TrainingInputMode": "File",
    },
    "RoleArn": before["RoleArn"],
    "InputDataConfig": before["InputDataConfig"],
    "OutputDataConfig": before["OutputDataConfig"],
    "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 1800},
    "HyperParameters": {
        "k": "3",
        "sagemaker_program": json.dumps("entry_point.py"),
        "sagemaker_submit_directory": before["HyperParameters"]["sagemaker_submit_directory"],
    },
}
sagemaker.create_training_job(**request)
for name in ("by-sdk", "by-boto3"):
    ended = sagemaker.get_waiter("training_job_completed_or_stopped")
    ended.wait(TrainingJobName=name, WaiterConfig={"Delay": 5})

# %% [markdown]
# ## The same job
#
# Three jobs, one model: what each of them found is the same to the last bit.

# %%
for name in ("by-command", "by-sdk", "by-boto3"):
    job = sagemaker.describe_training_job(TrainingJobName=name)
    metrics = {each["MetricName"]: each["Value"] for each in job.get("FinalMetricDataList", [])}
    print(f"{name:<12}{job['TrainingJobStatus']:<12}train:msd {metrics['train:msd']:.6g}")
