"""Nanoseconds an image: onnxruntime's int8 against siamese-core, in one run.

    pip install onnxruntime onnx numpy
    cargo build --release --package xtask
    python3 siamese-train/benches/onnxruntime_int8.py [--write]

`--write` keeps the figures in docs/onnxruntime.json, from which `cargo xtask pages`
makes the table of docs/benchmarks.md.

Both on one thread, in turns for some rounds; medians. onnxruntime runs the same
layers as one graph that is quantised as it likes best (u8 activations, s8
weights, QDQ around each Gemm) with random weights, since its time doesn't depend
on them, and gets its inputs as u8 already. siamese-core's time is that of
`cargo xtask bench --core host`: MNIST's images from their pixels on, with the
committed models.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
MODELS = {"swift": [392, 128, 32, 2], "small": [392, 128, 64, 2], "reference": [784, 1024, 1024, 2]}
BATCHES = [1, 1000]
ROUNDS = 3


def quantised_graph(sizes: list[int]) -> bytes:
    """The layers as an ONNX model, u8 in and u8 out."""
    random = np.random.default_rng(1)
    nodes, constants = [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    scale = constant("scale", np.float32(0.05))
    zero_u8 = constant("zero_u8", np.uint8(0))
    zero_s8 = constant("zero_s8", np.int8(0))
    zero_s32 = constant("zero_s32", np.int32(0))
    scale_s32 = constant("scale_s32", np.float32(0.05 * 0.05))

    def node(kind: str, inputs: list[str], output: str, **attributes) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    values = "input"
    for number, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        weights = random.integers(-127, 128, (outputs, inputs), np.int8)
        bias = random.integers(-1000, 1000, outputs, np.int32)
        real = [
            node("DequantizeLinear", [values, scale, zero_u8], f"values{number}"),
            node("DequantizeLinear", [constant(f"w{number}", weights), scale, zero_s8], f"weights{number}"),
            node("DequantizeLinear", [constant(f"b{number}", bias), scale_s32, zero_s32], f"bias{number}"),
        ]
        sums = node("Gemm", real, f"sums{number}", transB=1)
        if number < len(sizes) - 2:
            sums = node("Relu", [sums], f"relu{number}")
        values = node("QuantizeLinear", [sums, scale, zero_u8], f"output{number}")
    graph = helper.make_graph(
        nodes,
        "embedder",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, ["batch", sizes[0]])],
        [helper.make_tensor_value_info(values, TensorProto.UINT8, ["batch", sizes[-1]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()


def session(sizes: list[int]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(quantised_graph(sizes), options, providers=["CPUExecutionProvider"])


def theirs(run: ort.InferenceSession, inputs: int, batch: int) -> float:
    """Nanoseconds an image, the median of many calls."""
    images = np.random.default_rng(2).integers(0, 128, (batch, inputs), np.uint8)
    times = []
    for _ in range(max(20, 2000 // batch)):
        start = time.perf_counter()
        run.run(None, {"input": images})
        times.append((time.perf_counter() - start) / batch * 1e9)
    return median(times)


def ours(model: str) -> dict[int, float]:
    """Nanoseconds an image by batch, of the fastest kernel."""
    call = [ROOT / "target/release/xtask", "bench", "--json", "--core", "host", "--model", model]
    rows = json.loads(subprocess.run(call, check=True, capture_output=True, cwd=ROOT).stdout)
    return {row["batch"]: row["ns_per_image"] for row in rows if row["kernel"] != "portable"}


def main() -> None:
    rows = []
    for model, sizes in MODELS.items():
        run = session(sizes)
        times: dict[int, list[tuple[float, float]]] = {batch: [] for batch in BATCHES}
        for _ in range(ROUNDS):
            here = ours(model)
            for batch in BATCHES:
                times[batch].append((theirs(run, sizes[0], batch), here[batch]))
        for batch, pairs in times.items():
            a, b = (round(median(side)) for side in zip(*pairs))
            row = {"model": f"`{model}`", "batch": batch, "onnxruntime_ns": a, "siamese_ns": b, "ratio": f"{a / b:.1f}"}
            print(row, flush=True)
            rows.append(row)
    if "--write" in sys.argv[1:]:
        (ROOT / "docs/onnxruntime.json").write_text(json.dumps(rows, indent=2) + "\n")
        subprocess.run([ROOT / "target/release/xtask", "pages"], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
