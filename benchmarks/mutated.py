"""Artifacts that somebody has changed: is each refused or answered, at what cost?

    python benchmarks/mutated.py --count 2000 [--only parameters] [--adopt] [MODEL ...]

Each MODEL is a folder that `algoshelf train` wrote; without any, four small ones are trained.
Graphs, parameters, metadata, archives and files of ONNX are changed by mutations that know their
formats, always the same ones for a --seed. One process opens one after the other and has each
answer its own example, as a worker does, a file of ONNX by ONNX Runtime and all else by mxnet;
what ends it, or takes more than a second of processor or 500 MiB beyond a file of ONNX's size, is
told by name, as is what is refused only after more than 100 MiB. ``--only`` changes one kind of
file alone; with ``--adopt`` graph and parameters are adopted, as those of someone else.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import io
import json
import os
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

METADATA, SYMBOL, PARAMETERS = "algorithm.json", "model-symbol.json", "model-0000.params"
ONNX = "model.onnx"
NAMES = (METADATA, SYMBOL, PARAMETERS)
Files = Dict[str, bytes]
MAX_SECONDS, MAX_MIB, MAX_REFUSED_MIB = 1.0, 500.0, 100.0
HANG_SECONDS = 120

DEADLY = [
    ("_Native", {"info": "0x123456789000"}),
    ("_NDArray", {"info": "0x123456789000"}),
    ("Custom", {"op_type": "x"}),
    ("_cvimread", {"filename": "/etc/passwd"}),
    ("_foreach", {}),
    ("_while_loop", {}),
    ("_cond", {}),
    ("_CrossDeviceCopy", {}),
    ("SyncBatchNorm", {}),
    ("_random_uniform", {"shape": "(100000, 100000)"}),
    ("gather_nd", {}),
    ("SequenceReverse", {"use_sequence_length": "True"}),
    ("SwapAxis", {"dim1": "100", "dim2": "0"}),
    ("SliceChannel", {"num_outputs": "2", "axis": "77"}),
]
VALUES = [
    *(
        "0",
        "-1",
        "1",
        "7",
        "65537",
        "2147483647",
        "2147483648",
        "-2147483648",
        "1e30",
        "nan",
        "inf",
    ),
    *(
        "None",
        "True",
        "False",
        "",
        "()",
        "(0, 0)",
        "(-1,)",
        "(1, 2, 3, 4, 5, 6, 7, 8, 9)",
        "[2, 2]",
    ),
    *(
        "(99999999, 99999999)",
        "9" * 5000,
        "(0, -4, -1, 0)",
        "(-2,)",
        "(0, -3)",
        "relu",
        "\x00",
        "é",
    ),
]
NUMBERS = [0, 1, 2, 3, 7, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]
JSON_VALUES: list[Any] = [
    *(None, True, -1, 0, 1, 2**31, 2**70, 1e308, "", "x", "\x1b[2J", [], [0], [0, 3, 20000, 20000]),
    *({}, [[[]]], ["a", "a"], [[0, 5]], {"a": {"b": [1]}}, "9" * 1000, [0] * 100, [0, 1, 28, 28]),
]


def graph(rng: random.Random, files: Files) -> str:
    """Change the graph; what was done."""
    document = json.loads(files[SYMBOL])
    kind = rng.choice(
        ["op", "attr", "attr", "attr", "key", "subgraph", "input", "head", "node", "frame", "text"]
    )
    nodes = document["nodes"]
    node = rng.choice(nodes)
    if kind == "op":
        op, attributes = rng.choice(DEADLY)
        node.update(op=op, attrs=attributes)
    elif kind == "attr":
        with_some = [each for each in nodes if each["op"] != "null" and each.get("attrs")]
        node = rng.choice(with_some)
        names = [name for name in node["attrs"] if not name.startswith("__")]
        node["attrs"][rng.choice(names or ["shape"])] = rng.choice(VALUES)
    elif kind == "key":
        node[rng.choice(["attr", "param"])] = {"num_group": "0", "kernel": "(0, 0)"}
    elif kind == "subgraph":
        op, attributes = rng.choice(DEADLY)
        inner = copy.deepcopy(document)
        inner["nodes"][-1].update(op=op, attrs=attributes)
        node["subgraphs"] = [inner]
        if rng.random() < 0.5:
            node["op"] = "_foreach"
    elif kind == "input":
        node = rng.choice([each for each in nodes if each["inputs"]])
        node["inputs"][rng.randrange(len(node["inputs"]))][rng.randrange(3)] = rng.choice(
            [-1, 0, 1, 2, 7, len(nodes) - 1, len(nodes), 2**31, 2**40]
        )
    elif kind == "head":
        document["heads"] = rng.choice(
            [
                [],
                [[len(nodes) - 1, 7, 0]],
                [[0, 0, 0]],
                [[2**40, 0, 0]],
                [[len(nodes) - 1, 0, 0]] * 99,
            ]
        )
    elif kind == "node":
        index = rng.randrange(len(nodes))
        rng.choice(
            [
                lambda: nodes.pop(index),
                lambda: nodes.insert(index, copy.deepcopy(node)),
                lambda: nodes.reverse(),
                lambda: nodes.extend(copy.deepcopy(nodes)),
                lambda: node.update(name=rng.choice(["", "data", "x" * 10000, nodes[0]["name"]])),
            ]
        )()
    elif kind == "frame":
        key = rng.choice(list(document))
        document[key] = rng.choice(JSON_VALUES)
    files[SYMBOL] = json.dumps(document).encode()
    if kind == "text":
        files[SYMBOL] = text(rng, files[SYMBOL])
    return f"graph: {kind}"


def text(rng: random.Random, content: bytes) -> bytes:
    """JSON, damaged as a text."""
    place = rng.randrange(1, len(content))
    return rng.choice(
        [
            lambda: content[:place],
            lambda: content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :],
            lambda: content.replace(b'"op"', b'"op": "_Native", "op"', 1),
            lambda: content.replace(b"0", b"NaN", 1),
            lambda: content.replace(b"[", b"[" * 100_000, 1),
            lambda: content.replace(b" 1", b" " + b"9" * 6000, 1),
            lambda: content.replace(b"0,", b"1e999,", 1),
            lambda: b"\xff" + content,
            lambda: b"[" + b"[],".join([b""] * 200_000) + b"[]]",
        ]
    )()


def fields(content: bytes) -> Iterator[tuple[int, str]]:
    """Where the numbers of a params file stand, and how: as struct says."""
    yield from ((0, "<Q"), (8, "<Q"), (16, "<Q"))
    (count,) = struct.unpack_from("<Q", content, 16)
    at = 24
    for _ in range(count):
        (axes,) = struct.unpack_from("<i", content, at + 8)
        yield from ((at, "<I"), (at + 4, "<I"), (at + 8, "<I"))
        sizes = struct.unpack_from(f"<{axes}q", content, at + 12)
        yield from ((at + 12 + 8 * axis, "<Q") for axis in range(axes))
        at += 12 + 8 * axes
        yield from ((at, "<I"), (at + 4, "<I"), (at + 8, "<I"))
        total = 4
        for size in sizes:
            total *= size
        at += 12 + total
    yield (at, "<Q")
    at += 8
    for _ in range(count):
        yield (at, "<Q")
        at += 8 + struct.unpack_from("<Q", content, at)[0]


def parameters(rng: random.Random, files: Files) -> str:
    """Change the parameters; what was done."""
    content = bytearray(files[PARAMETERS])
    places = list(fields(bytes(content)))
    kind = rng.choice(
        ["field", "field", "field", "field", "cut", "more", "byte", "name", "numbers"]
    )
    if kind == "field":
        at, layout = rng.choice(places)
        most = 2 ** (8 * struct.calcsize(layout)) - 1
        (now,) = struct.unpack_from(layout, content, at)
        value = rng.choice([*NUMBERS, now + 1, max(0, now - 1), now * 2, now * 1000])
        struct.pack_into(layout, content, at, min(value, most))
    elif kind == "cut":
        del content[rng.randrange(len(content)) :]
    elif kind == "more":
        content += bytes(rng.choice([1, 8, 4096]))
    elif kind == "byte":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == "name":
        at = places[-1][0] + 8
        content[at : at + 4] = rng.choice([b"\xff\xfe\xfd\xfc", b"\0\0\0\0", b"aux:", b"arg;"])
    else:
        at = 24 + rng.randrange(40, 80)
        content[at : at + 64] = struct.pack("<16f", *[rng.choice([float("nan"), 1e38, -1e38])] * 16)
    files[PARAMETERS] = bytes(content)
    return f"parameters: {kind}"


def metadata(rng: random.Random, files: Files) -> str:
    """Change algorithm.json; what was done."""
    document = json.loads(files[METADATA])
    kind = rng.choice(["input", "input", "encoding", "hyperparameters", "example", "any", "text"])
    if kind == "input":
        shape = document["input"]["shape"]
        at = rng.randrange(len(shape))
        rng.choice(
            [
                lambda: shape.__setitem__(at, rng.choice([-1, 0, 1, 2, 3, 20000, 2**31, 2**62])),
                lambda: shape.append(rng.choice([0, 1, 20000])),
                lambda: shape.pop(),
                lambda: document["input"].update(shape=rng.choice(JSON_VALUES)),
                lambda: document["input"].update(shape=[shape[0], *[s * 4 for s in shape[1:]]]),
                lambda: document["input"].update(dtype=rng.choice(["int8", "float16", "float64"])),
                lambda: document["input"].update(name=rng.choice(["", "x", "label"])),
            ]
        )()
    elif kind == "encoding":
        key = rng.choice(list(document["encoding"]) or ["classes"])
        words = document["encoding"].get(key) or ["a"]
        document["encoding"][key] = rng.choice(
            [words[:-1], [*words, "one more"], words * 2, words[::-1], *JSON_VALUES]
        )
    elif kind == "hyperparameters":
        key = rng.choice(list(document["hyperparameters"]) or ["k"])
        document["hyperparameters"][key] = rng.choice(JSON_VALUES)
    elif kind == "example":
        document["example"][rng.choice(["body", "content_type"])] = rng.choice(
            ["", "[" * 100_000, "x", "1," * 1000, '{"instances": [[1e999]]}', "text/csv", 7]
        )
    elif kind == "any":
        document[rng.choice(list(document))] = rng.choice(JSON_VALUES)
    files[METADATA] = json.dumps(document).encode()
    if kind == "text":
        files[METADATA] = text(rng, files[METADATA])
    return f"metadata: {kind}"


def archive(rng: random.Random, files: Files, target: Path) -> str:
    """Write a model.tar.gz that is none any more; what was done."""
    kind = rng.choice(
        ["sound", "cut", "byte", "outside", "link", "device", "long", "size", "twice"]
    )
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as members:
        for name, content in files.items():
            _add(members, name, content)
        if kind == "outside":
            _add(members, rng.choice(["../x", "/tmp/x", "a/../../x"]), b"x")
        if kind in ("link", "device"):
            strange = tarfile.TarInfo(rng.choice([SYMBOL, "x"]))
            strange.type = tarfile.SYMTYPE if kind == "link" else tarfile.CHRTYPE
            strange.linkname = "/etc/passwd"
            members.addfile(strange)
        if kind == "long":
            _add(members, "x" * 3_000_000, b"")
        if kind == "twice":
            _add(members, SYMBOL, b"{}")
    content = bytearray(inner.getvalue())
    if kind == "size":
        content[124:136] = b"77777777777\0"
    packed = bytearray(gzip.compress(bytes(content), mtime=0))
    if kind == "cut":
        del packed[rng.randrange(len(packed)) :]
    if kind == "byte":
        packed[rng.randrange(len(packed))] ^= 1 << rng.randrange(8)
    target.write_bytes(packed)
    return f"archive: {kind}"


def _add(members: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    members.addfile(info, io.BytesIO(content))


SIZES = [-(2**63), -1, 0, 1, 2, 3, 7, 1000, 2**20, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1]
STRANGE = ["", "x", "data", "output", "\0", "é", "x" * 5000, "../../etc/passwd", "ai.onnx.ml"]
# Operators that an export does not hold, or that make much of little.
GREEDY = [
    *("Loop", "If", "Scan", "ConstantOfShape", "RandomUniform", "NonZero", "OneHot", "EyeLike"),
    *("Expand", "Tile", "Range", "Pad", "Resize", "Mod", "Div", "Einsum", "Constant", "Optional"),
]


def onnx_file(rng: random.Random, files: Files) -> str:
    """Change the file of ONNX; what was done."""
    import onnx

    kind = rng.choice([*ONNX_KINDS, "cut", "byte", "byte", "more", "many"])
    content = bytearray(files[ONNX])
    if kind == "cut":
        del content[rng.randrange(len(content)) :]
    elif kind == "byte":
        for _ in range(rng.choice([1, 1, 5])):
            # Of the weights, which most of it is, any byte is sound: rather near its ends.
            place = rng.choice(
                [rng.randrange(len(content)), rng.randrange(min(3000, len(content)))]
            )
            content[place] ^= 1 << rng.randrange(8)
    elif kind == "more":
        content += rng.choice(
            [b"\0", b"\x3a\x00", b"\x08\x01", b"\x0b\x0c", bytes(content), b"\xff" * 99]
        )
    elif kind == "many":
        content += rng.choice([b"\x72\x00", b"\x3a\x02\x0a\x00", b"\x42\x00"]) * 1_000_000
    else:
        model = onnx.load_from_string(bytes(content))
        ONNX_KINDS[kind](rng, model)
        content = bytearray(model.SerializeToString())
    files[ONNX] = bytes(content)
    return f"onnx: {kind}"


def _constants(model: Any) -> list[Any]:
    """The initializers that say sizes, axes and places."""
    return [each for each in model.graph.initializer if each.data_type == 7]


def _sizes(rng: random.Random, model: Any) -> None:
    for tensor in rng.sample(_constants(model), min(len(_constants(model)), 2)):
        count = len(tensor.raw_data) // 8
        values = list(struct.unpack(f"<{count}q", tensor.raw_data))
        if values:
            values[rng.randrange(count)] = rng.choice(SIZES)
        tensor.raw_data = struct.pack(f"<{count}q", *values)


def _tensor(rng: random.Random, model: Any) -> None:
    tensor = rng.choice(model.graph.initializer)
    rng.choice(
        [
            lambda: tensor.dims.append(rng.choice(SIZES)),
            lambda: tensor.dims.pop() if tensor.dims else None,
            lambda: tensor.dims.__setitem__(0, rng.choice(SIZES)) if tensor.dims else None,
            lambda: setattr(tensor, "data_type", rng.randrange(0, 24)),
            lambda: setattr(tensor, "raw_data", tensor.raw_data[:-1]),
            lambda: setattr(tensor, "raw_data", b""),
            lambda: setattr(tensor, "name", rng.choice(STRANGE)),
            lambda: model.graph.initializer.append(tensor),
            lambda: tensor.dims.extend([1] * 300),
        ]
    )()


def _outside(rng: random.Random, model: Any) -> None:
    tensor = rng.choice(model.graph.initializer)
    tensor.data_location = 1
    for key, value in (("location", "/etc/passwd"), ("length", str(2**40)), ("offset", "-1")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    if rng.random() < 0.5:
        tensor.ClearField("raw_data")


def _operator(rng: random.Random, model: Any) -> None:
    node = rng.choice(model.graph.node)
    rng.choice(
        [
            lambda: setattr(node, "op_type", rng.choice(GREEDY)),
            lambda: setattr(node, "op_type", rng.choice(model.graph.node).op_type),
            lambda: setattr(node, "domain", rng.choice(["com.microsoft", "x", "ai.onnx.ml"])),
        ]
    )()


def _attribute(rng: random.Random, model: Any) -> None:
    import onnx

    with_some = [node for node in model.graph.node if node.attribute]
    if not with_some:
        return
    node = rng.choice(with_some)
    attribute = rng.choice(node.attribute)
    number = rng.choice([size for size in SIZES if abs(size) < 2**62])
    rng.choice(
        [
            lambda: setattr(attribute, "i", number),
            lambda: attribute.ints.append(number),
            lambda: attribute.ints.__setitem__(0, number) if attribute.ints else None,
            lambda: attribute.ints.extend([1] * 1000),
            lambda: setattr(attribute, "f", rng.choice([float("nan"), 1e38, -1.0, 0.0])),
            lambda: setattr(attribute, "s", b"\xff\xfe"),
            lambda: setattr(attribute, "type", rng.randrange(0, 15)),
            lambda: setattr(attribute, "name", rng.choice(["axis", "group", "alpha", "", "mode"])),
            lambda: node.attribute.append(attribute),
            lambda: node.attribute.append(onnx.helper.make_attribute("g", model.graph)),
            lambda: node.attribute.remove(attribute),
        ]
    )()


def _wires(rng: random.Random, model: Any) -> None:
    nodes = model.graph.node
    node, index = rng.choice(nodes), rng.randrange(len(nodes))
    names = [name for each in nodes for name in (*each.input, *each.output)]
    rng.choice(
        [
            lambda: node.input.__setitem__(0, rng.choice(names)),
            lambda: node.input.append(rng.choice(names)),
            lambda: node.input.pop(),
            lambda: node.input.extend([rng.choice(names)] * 5000),
            lambda: node.output.__setitem__(0, rng.choice([*names, *STRANGE])),
            lambda: node.output.append("more"),
            lambda: nodes.append(node),
            lambda: nodes.pop(index),
            lambda: nodes.insert(0, nodes[-1]),
            lambda: nodes.extend([node] * 20_000),
        ]
    )()


def _chain(rng: random.Random, model: Any) -> None:
    """Thousands of nodes, each sound, or a constant blown up step by step."""
    import onnx

    make, last = onnx.helper.make_node, model.graph.node[-1]
    count, name = rng.choice([(8_000, "Abs"), (15, "Concat"), (200, "Concat")]), last.input[0]
    added = []
    for number in range(count[0]):
        inputs = [name] if count[1] == "Abs" else [name] * 4
        attributes = {} if count[1] == "Abs" else {"axis": 0}
        added.append(
            make(count[1], inputs, [f"chain{number}"], name=f"chain{number}", **attributes)
        )
        name = f"chain{number}"
    last.input[0] = name
    del model.graph.node[-1]
    model.graph.node.extend([*added, last])


def _blown_up(rng: random.Random, model: Any) -> None:
    """A constant that its operator makes large, and nobody needs."""
    import onnx

    many = rng.choice([10**6, 10**8, 10**9, 2**31, 2**40])
    shape = onnx.helper.make_tensor("much", 7, [1], struct.pack("<q", many), raw=True)
    one = onnx.helper.make_tensor("one", 1, [1], struct.pack("<f", 1), raw=True)
    model.graph.initializer.extend([shape, one])
    op = rng.choice(["Expand", "Tile", "ConstantOfShape"])
    inputs = ["much"] if op == "ConstantOfShape" else ["one", "much"]
    nodes = [*model.graph.node]
    del model.graph.node[:]
    model.graph.node.append(onnx.helper.make_node(op, inputs, ["large"], name="large"))
    model.graph.node.append(
        onnx.helper.make_node("ReduceMax", ["large"], ["small"], name="small", axes=[0])
    )
    model.graph.node.extend(nodes)


def _frame(rng: random.Random, model: Any) -> None:
    import onnx

    graph_ = model.graph
    opset = onnx.helper.make_opsetid
    tensor = graph_.initializer[0] if graph_.initializer else onnx.TensorProto()
    rng.choice(
        [
            lambda: setattr(model, "ir_version", rng.choice([0, 3, 7, 8, 9, 99, -1])),
            lambda: setattr(model.opset_import[0], "version", rng.choice([0, 1, 12, 17, 99, -1])),
            lambda: model.opset_import.append(opset("com.microsoft", 1)),
            lambda: model.functions.add(),
            lambda: model.training_info.add(),
            lambda: graph_.sparse_initializer.add(),
            lambda: graph_.input.append(graph_.input[0]),
            lambda: graph_.output.append(graph_.output[0]),
            lambda: setattr(graph_.input[0], "name", rng.choice(STRANGE)),
            lambda: setattr(graph_.output[0], "name", rng.choice(STRANGE)),
            lambda: setattr(graph_.input[0].type.tensor_type, "elem_type", rng.randrange(24)),
            lambda: graph_.input[0].type.tensor_type.shape.dim.add(),
            lambda: graph_.input.append(onnx.ValueInfoProto(name=tensor.name)),
            lambda: graph_.value_info.append(graph_.output[0]),
            lambda: setattr(model.metadata_props[0], "value", rng.choice(STRANGE)),
            lambda: setattr(model.metadata_props[0], "value", "[" * 5_000_000),
            lambda: setattr(model.metadata_props[0], "value", "[" + "[]," * 3_000_000 + "[]]"),
            lambda: model.metadata_props.append(model.metadata_props[0]),
            lambda: setattr(model, "doc_string", "x" * 10_000_000),
        ]
    )()


ONNX_KINDS: dict[str, Callable[[random.Random, Any], None]] = {
    "sizes": _sizes,
    "tensor": _tensor,
    "outside": _outside,
    "operator": _operator,
    "attribute": _attribute,
    "wires": _wires,
    "chain": _chain,
    "blown up": _blown_up,
    "frame": _frame,
}
MUTATIONS: list[Callable[[random.Random, Files], str]] = [graph, graph, parameters, metadata]
KINDS = {each.__name__: [each] for each in (graph, parameters, metadata)}


def mutated(rng: random.Random, base: Path, target: Path, only: str = "") -> str:
    """A changed copy of ``base`` at ``target``, a folder or an archive; what was done."""
    files = {name: (base / name).read_bytes() for name in NAMES}
    if (base / ONNX).is_file() and (only == "onnx" or (not only and rng.random() < 0.2)):
        files[ONNX] = (base / ONNX).read_bytes()
        done = onnx_file(rng, files)
        _write(files, target)
        return done
    document = json.loads(files[METADATA])
    document["sha256"] = {}  # whoever changes a file can change its digest
    files[METADATA] = json.dumps(document).encode()
    if not only and rng.random() < 0.15:
        return archive(rng, files, target)
    done = rng.choice(KINDS.get(only, MUTATIONS))(rng, files)
    _write(files, target)
    return done


def _write(files: Files, target: Path) -> None:
    target.mkdir()
    for name, content in files.items():
        (target / name).write_bytes(content)


def open_all(adopts: bool) -> None:
    """For each path on stdin, a line on stdout: how it ended, the seconds and MiB that it took."""
    from algoshelf.core import AlgoshelfError, mx
    from algoshelf.core.artifact import adoption
    from algoshelf.core.inference.adopting import adopt
    from algoshelf.core.inference.answers import preferred_type
    from algoshelf.core.inference.handlers import Handlers
    from algoshelf.registry.aws.sources import model
    from algoshelf.registry.discovery import catalog, opened

    os.environ["MXNET_ENGINE_TYPE"] = "NaiveEngine"
    mx.load()

    def answer(folder: Path) -> None:
        _, algorithm = opened(folder)
        engine = "onnx" if (folder / ONNX).is_file() else "mxnet"
        Handlers.load(algorithm, folder, engine=engine).example_response(
            preferred_type(algorithm.response_media_types())
        )

    def taken(folder: Path) -> None:
        document = json.loads((folder / METADATA).read_bytes())
        algorithm = catalog().get(document["algorithm"]).algorithm
        files = adoption.Files(folder / PARAMETERS, folder / SYMBOL)
        shape = tuple(document["input"]["shape"][1:])
        with tempfile.TemporaryDirectory() as scratch:
            adopt(algorithm, adoption.read(files, shape=shape), Path(scratch, "m"))

    for line in sys.stdin:
        path = Path(line.strip())
        Path("/proc/self/clear_refs").write_text("5")
        before, started = memory(), resource.getrusage(resource.RUSAGE_SELF)
        try:
            if path.is_file():
                with model(None, path) as found:  # type: ignore[arg-type]
                    answer(found.artifact.folder)
            elif adopts:
                taken(path)
            else:
                answer(path)
            ended = "answered"
        except AlgoshelfError as error:
            cpp = re.search(r"\.(cc|h):\d+|Check failed|Stack trace", str(error))
            ended = f"refused with C++: {error}" if cpp else f"refused: {error}"
        except Exception as error:
            ended = f"fault: {type(error).__name__}: {error}"
        spent = resource.getrusage(resource.RUSAGE_SELF)
        seconds = spent.ru_utime + spent.ru_stime - started.ru_utime - started.ru_stime
        print(json.dumps([ended[:500], seconds, memory() - before]), flush=True)


def memory() -> float:
    """The most MiB that this process has held since the last time."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) / 1024


class Opener:
    """The process that opens, and the next one where it ends."""

    def __init__(self, adopts: bool = False) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.words = ["--child", *(["--adopt"] if adopts else [])]

    def __call__(self, path: Path) -> tuple[str, float, float]:
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, __file__, *self.words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={"OMP_NUM_THREADS": "1", **os.environ},
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(path, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self.close()
            return f"died: {code}", 0.0, 0.0
        ended, seconds, mib = json.loads(line)
        return ended, seconds, mib

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def run(
    bases: list[Path], count: int, seed: int, only: str = "", adopts: bool = False
) -> dict[str, Any]:
    """Open ``count`` mutations of ``bases``; how they ended, and what stands out."""
    rng, opener = random.Random(seed), Opener(adopts)
    kinds: Counter[str] = Counter()
    strange: list[str] = []
    most_seconds = most_mib = 0.0
    try:
        for base in bases:
            ended, _, _ = opener(base)  # so that what is imported once counts for none
            assert ended == "answered", ended
        with tempfile.TemporaryDirectory() as scratch:
            for number in range(count):
                base, target = rng.choice(bases), Path(scratch, f"{number}")
                done = mutated(rng, base, target, only)
                size = sum(path.stat().st_size for path in target.glob(ONNX)) / 2**20
                ended, seconds, mib = opener(target)
                kinds[f"{done.split(':')[0]}: {ended.split(':')[0]}"] += 1
                refused = ended.startswith("refused:")
                most = size + (MAX_REFUSED_MIB if refused else MAX_MIB)
                if not (
                    (refused or ended == "answered") and seconds <= MAX_SECONDS and mib <= most
                ):
                    strange.append(
                        f"{number} {base.name} {done}: {seconds:.2f} s {mib:.0f} MiB {ended}"
                    )
                most_seconds, most_mib = max(most_seconds, seconds), max(most_mib, mib)
                shutil.rmtree(target, ignore_errors=True)
                target.unlink(missing_ok=True) if target.is_file() else None
    finally:
        opener.close()
    return {
        "count": count,
        "seed": seed,
        "only": only,
        "adopted": adopts,
        "ended": dict(sorted(kinds.items())),
        "most_seconds": round(most_seconds, 3),
        "most_mib": round(most_mib, 1),
        "strange": strange,
    }


def trained(folder: Path, adopts: bool) -> list[Path]:
    """Small models of each algorithm, or of those that take a graph and parameters."""
    orders = {"mnist-cnn": ["--epochs", "1"], "image-classification": ["--epochs", "1"]}
    if not adopts:
        orders.update({"kmeans": ["--k", "3"], "text-classification": ["--epochs", "1"]})
    for name, options in orders.items():
        command = [str(Path(sys.executable).parent / "algoshelf"), "train", name, *options]
        subprocess.run([*command, "--output", str(folder / name)], check=True)
        subprocess.run([command[0], "export", str(folder / name)], check=True)
    return [folder / name for name in orders]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[*KINDS, "onnx"], default="")
    parser.add_argument("--adopt", action="store_true")
    parser.add_argument("--keep", metavar="NAME", help="under which to keep it in results/")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("models", nargs="*", type=Path)
    given = parser.parse_args()
    if given.child:
        open_all(given.adopt)
        return
    with tempfile.TemporaryDirectory() as scratch:
        bases = given.models or trained(Path(scratch), given.adopt)
        found = run(bases, given.count, given.seed, given.only, given.adopt)
    if given.keep:
        from environment import environment, results_file

        kept = {"environment": environment(), **found}
        results_file(given.keep).write_text(json.dumps(kept, indent=2) + "\n")
    print(json.dumps(found, indent=2, ensure_ascii=False))
    sys.exit(bool(found["strange"]))


if __name__ == "__main__":
    main()
