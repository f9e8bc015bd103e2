#!/usr/bin/env python3
"""The PyTorch runner: speaks the runner protocol (docs/runner-protocol.md) on stdin and stdout.

Works with PyTorch 1.13 and 2.x on cpu, cuda and mps.  Its parts: runner_protocol.py (requests and
answers), runner_job.py (what is asked for, and its files), torch_engine.py (the ops),
torch_workloads.py (the models), torch_libraries.py (devices and versions), safetensors_io.py,
philox.py.
"""
import sys

import runner_protocol


def load_engine():
    try:
        import torch_engine
        return torch_engine.Engine()
    except Exception as error:  # a broken installation raises more than ImportError
        return runner_protocol.Missing(
            f"PyTorch in {sys.executable}", f"that it cannot be imported ({error})",
            "install it ('apt-get install python3-torch libopenblas0-pthread' on Debian, "
            "'pip install torch' elsewhere), or choose another Python")


def main():
    runner_protocol.exit_on_interrupt()
    answers = runner_protocol.claim_stdout()
    return runner_protocol.serve(load_engine(), sys.stdin.buffer, answers)


if __name__ == "__main__":
    sys.exit(main())
