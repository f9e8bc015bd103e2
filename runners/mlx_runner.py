#!/usr/bin/env python3
"""The MLX runner: speaks the runner protocol (docs/runner-protocol.md).

Works with MLX 0.26 and later on cpu, on an Apple GPU (mps) and on NVIDIA's (cuda). Its parts:
runner_protocol.py (requests and answers), runner_job.py and workload_fields.py (what is asked for,
and its files), runner_engine.py and mlx_engine.py (the ops), mlx_loop.py (the step),
mlx_training.py (the ladder's trainings), mlx_workloads.py, mlx_resnet.py and mlx_transformers.py
(its models), mlx_weights.py (their arrays in files), mlx_own.py, mlx_own_file.py, own_trace.py and
own_file.py (a user's own model), mlx_phases.py (where a step's time goes), mlx_libraries.py
(devices and versions), safetensors_io.py, philox.py.
"""
import os
import sys

# Its other parts lie beside it, where not every Python looks (PYTHONSAFEPATH).
FOLDER = os.path.dirname(os.path.realpath(__file__))
if FOLDER not in sys.path:
    sys.path.insert(0, FOLDER)

import runner_protocol  # noqa: E402

# Read at the first product on a GPU: without it MLX multiplies in TF32 where the GPU has that.
os.environ["MLX_ENABLE_TF32"] = "0"


def load_engine():
    try:
        import mlx_engine
        return mlx_engine.Engine()
    except Exception as error:  # a broken installation raises more than ImportError
        return runner_protocol.Missing(
            f"MLX in {sys.executable}", f"that it cannot be imported ({error})",
            runner_protocol.why_not(
                error, "install it ('make mlx' in breakeven's source makes an environment of its "
                "own, 'pip install mlx numpy' on a Mac, 'pip install mlx[cpu] numpy' on Linux), or "
                "name the Python that has it in BREAKEVEN_MLX_PYTHON"))


def main():
    runner_protocol.exit_on_interrupt()
    requests, answers = runner_protocol.claim_streams()
    return runner_protocol.serve(load_engine(), requests, answers)


if __name__ == "__main__":
    sys.exit(main())
