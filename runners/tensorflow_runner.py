#!/usr/bin/env python3
"""The TensorFlow runner: speaks the runner protocol (docs/runner-protocol.md).

Works with TensorFlow 2.16 and later (Keras 3) on cpu and cuda; with the argument "xla" XLA compiles
its steps. Its parts: runner_protocol.py (requests and answers), runner_job.py and
workload_fields.py (what is asked for, and its files), runner_engine.py and tensorflow_engine.py
(the ops), tensorflow_training.py (the step), tensorflow_workloads.py, tensorflow_resnet.py and
tensorflow_transformers.py (the models), tensorflow_weights.py (their variables in files),
tensorflow_own.py, keras_own_file.py, own_trace.py and own_file.py (a user's own model),
tensorflow_phases.py (where a step's time goes), tensorflow_feed.py (the data),
tensorflow_libraries.py (devices and versions), safetensors_io.py, philox.py.
"""
import os
import sys

# Its other parts lie beside it, where not every Python looks (PYTHONSAFEPATH).
FOLDER = os.path.dirname(os.path.realpath(__file__))
if FOLDER not in sys.path:
    sys.path.insert(0, FOLDER)

import runner_protocol  # noqa: E402

# Read when they are loaded.  What they log goes to standard error: warnings and errors are enough.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
os.environ["KERAS_BACKEND"] = "tensorflow"


def load_engine(form):
    try:
        import tensorflow_engine
        return tensorflow_engine.Engine(form)
    except Exception as error:  # a broken installation raises more than ImportError
        return runner_protocol.Missing(
            f"TensorFlow in {sys.executable}", f"that it cannot be imported ({error})",
            runner_protocol.why_not(
                error, "install it ('make tensorflow' in breakeven's source makes an environment "
                "of its own, 'pip install tensorflow' anywhere), or name the Python that has it in "
                "BREAKEVEN_TENSORFLOW_PYTHON"))


def main():
    runner_protocol.exit_on_interrupt()
    requests, answers = runner_protocol.claim_streams()
    form = sys.argv[1] if len(sys.argv) > 1 else None
    return runner_protocol.serve(load_engine(form), requests, answers)


if __name__ == "__main__":
    sys.exit(main())
