"""What pyproject.toml cannot say: the folders are the packages, each algorithm an entry point."""

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

setup(
    packages=packages,
    package_dir={f"algoshelf.{folder}": folder for folder in FOLDERS},
    package_data={
        "": ["py.typed", "README.md", "sample/*"],
        "algoshelf.core.serving.page": ["static/*.*", "static/widgets/*.js"],
        "algoshelf.registry.aws": ["*.csv", "*.json"],
        "algoshelf.registry.cli": ["scaffold/**/*.*"],
        "algoshelf.registry.packaging": ["scaffold/*", "scaffold/onnx/*"],
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
