"""What pyproject.toml cannot say: the folders are the packages, each algorithm an entry point."""

import atexit
import shutil
import tempfile
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
FOLDERS = ("core", "algorithms", "registry")

packages = [
    package
    for folder in FOLDERS
    for package in [
        f"algoshelf.{folder}",
        *(f"algoshelf.{folder}.{name}" for name in find_packages(str(HERE / folder))),
    ]
]
algorithms = find_packages(str(HERE / "algorithms"), exclude=["*.*"])
# A folder build in the checkout would keep modules that are deleted, and the next wheel hold them.
scratch = tempfile.mkdtemp(prefix="algoshelf-build-")
atexit.register(shutil.rmtree, scratch, ignore_errors=True)

setup(
    options={"build": {"build_base": scratch}},
    packages=packages,
    package_dir={f"algoshelf.{folder}": folder for folder in FOLDERS},
    package_data={
        "": ["py.typed", "README.md", "sample/*"],
        "algoshelf.core.serving.page": ["static/*.*", "static/widgets/*.js"],
        "algoshelf.registry.aws": ["*.csv", "*.json"],
        "algoshelf.registry.cli": ["scaffold/**/*.*"],
        "algoshelf.registry.packaging": ["scaffold/*", "scaffold/onnx/*"],
        "algoshelf.registry.web": ["page/*.*", "scaffold/*/*.*"],
    },
    exclude_package_data={"": ["sample/make_sample.py"]},
    entry_points={
        "console_scripts": ["algoshelf = algoshelf.registry.cli:main"],
        "algoshelf": [
            "tensorboard = algoshelf.registry.tensorboard",
            *(f"{name} = algoshelf.algorithms.{name}" for name in sorted(algorithms)),
        ],
    },
)
