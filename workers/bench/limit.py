"""What the processor can do at best: a bare float32 matrix product by the same ONNX Runtime that runs the networks.

numpy's own product is slower on some machines, so a share of it would flatter.
"""

import time

import numpy as np

SIZES = (1024, 1536, 2048)
SECONDS_EACH = 0.5
WARM_UP = 2


def peak_flops(threads: int) -> float:
    """The most float32 operations per second that a product of two square matrices reached.

    Args:
        threads: that share the work.
    """
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # and they may spin: this is to be the best that there is
    options.log_severity_level = 3
    best = 0.0
    for size in SIZES:
        values = np.random.default_rng(0).random((size, size), np.float32)
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, size]) for name in ("left", "product")]
        weights = numpy_helper.from_array(values, "right")  # constant, as a network's are: it is packed beforehand
        node = helper.make_node("MatMul", ["left", "right"], ["product"])
        graph = helper.make_graph([node], "limit", ends[:1], ends[1:], [weights])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        providers = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
        for _ in range(WARM_UP):
            session.run(None, {"left": values})
        until_s = time.perf_counter() + SECONDS_EACH
        while (started_s := time.perf_counter()) < until_s:
            session.run(None, {"left": values})
            best = max(best, 2 * size**3 / (time.perf_counter() - started_s))
    return best
