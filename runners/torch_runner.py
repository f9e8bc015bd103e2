#!/usr/bin/env python3
"""The PyTorch runner: speaks the runner protocol (docs/runner-protocol.md).

Works with PyTorch 1.13 and 2.x on cpu, cuda, xpu and mps; an argument names another form than eager
(torch_forms.py).  Its parts: runner_protocol.py (requests and answers), runner_job.py (what is
asked for, and its files), runner_engine.py and torch_engine.py (the ops), torch_group.py (several
workers), torch_workloads.py (the models), torch_own.py, torch_own_file.py and own_file.py (a
user's own model), torch_libraries.py (devices and versions), safetensors_io.py, philox.py.
"""
import os
import sys
import threading

# Its other parts lie beside it, where not every Python looks (PYTHONSAFEPATH).
FOLDER = os.path.dirname(os.path.realpath(__file__))
if FOLDER not in sys.path:
    sys.path.insert(0, FOLDER)

import runner_protocol  # noqa: E402


def load_engine(form):
    try:
        import torch_engine
        return torch_engine.Engine(form)
    except Exception as error:  # a broken installation raises more than ImportError
        return runner_protocol.Missing(
            f"PyTorch in {sys.executable}", f"that it cannot be imported ({error})",
            runner_protocol.why_not(
                error, "install it ('apt-get install python3-torch libopenblas0-pthread' on "
                "Debian, 'pip install torch' elsewhere), or choose another Python"))


def main():
    runner_protocol.exit_on_interrupt()
    requests, answers = runner_protocol.claim_streams()
    form = sys.argv[1] if len(sys.argv) > 1 else None
    return runner_protocol.serve(load_engine(form), requests, answers)


def leave(code):
    """A thread that a user's model started may never end: the runner does."""
    if threading.active_count() > 1:
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main())
