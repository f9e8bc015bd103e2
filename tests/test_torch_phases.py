"""Tests of what runners/torch_phases.py does on a GPU, which is not here: a profile is made up."""
import types
import unittest
from unittest import mock

from runner_support import NO_TORCH

if NO_TORCH is None:
    import torch
    import torch_phases

CPU, CUDA = ((torch.autograd.DeviceType.CPU, torch.autograd.DeviceType.CUDA)
             if NO_TORCH is None else (None, None))


def event(name, start, kernels=(), device=CPU):
    made = [types.SimpleNamespace(device=0, duration=duration) for duration in kernels]
    return types.SimpleNamespace(name=name, time_range=types.SimpleNamespace(start=start),
                                 kernels=made, device_type=device, sequence_nr=-1, cpu_parent=None)


@unittest.skipIf(NO_TORCH, NO_TORCH)
class CudaTest(unittest.TestCase):
    def measured(self, wall_ns, busy_ns, resident=True, profiled=True):
        """The answer for a made-up profile of `busy_ns` by phase."""
        spent = dict.fromkeys(torch_phases.PHASES, 0)
        spent.update(loss_read=10, idle_other=wall_ns - 10)
        session = types.SimpleNamespace(device=torch.device("cuda", 0), training=True,
                                        resident=resident,
                                        sent_bytes=lambda: 0 if resident else 4 * 3 + 4 * 4)
        profile = types.SimpleNamespace(busy_ns=dict(dict.fromkeys(torch_phases.PHASES, 0.0),
                                                     **busy_ns),
                                        launches={"cuda:0": 6.0}, in_order=list)
        with mock.patch.multiple(torch_phases, Kept=mock.MagicMock(),
                                 time_steps=lambda *_: (wall_ns, 5, spent),
                                 Profile=lambda *_: profile), \
                mock.patch.object(torch_phases.libraries, "profiled", lambda _: profiled):
            return torch_phases.measure(session, 2)

    def test_the_rest_is_waiting(self):
        answer = self.measured(1000, {"data": 40.2, "forward": 100, "backward": 200})
        self.assertEqual(answer["phases"], {"data": 40, "upload": 0, "forward": 100,
                                            "backward": 200, "optimizer": 0, "loss_read": 10,
                                            "idle_host": 650, "idle_other": 0})
        self.assertEqual((answer["launches"], answer["synchronisations"]), (6, 2))
        self.assertEqual(answer["work"], {"cuda:0": {"launches": 6, "busy_ns": 340}})

    def test_hidden_copies_cost_nothing(self):
        answer = self.measured(1000, {"forward": 900, "upload": 150}, resident=False)
        self.assertEqual((answer["phases"]["upload"], answer["phases"]["idle_host"]), (90, 0))
        self.assertEqual(sum(answer["phases"].values()), 1000)
        self.assertEqual((answer["upload_bytes"], answer["synchronisations"]),
                         (2 * (4 * 3 + 4 * 4), 4))

    def test_without_a_profiler(self):
        answer = self.measured(1000, {}, profiled=False)
        self.assertIsNone(answer["phases"]["idle_host"])
        self.assertEqual((answer["launches"], answer["work"], answer["ops"]), (None, {}, []))

    def test_kernels_belong_to_the_part_of_their_op(self):
        """By when the op began, in whatever thread; parts of the profiler are no ops."""
        events = [event("aten::addmm", 11, [5.0]), event(torch_phases._MARK, 20),
                  event("aten::mm", 30, [2.0, 3.0]), event("Activity Buffer Request", 32, [9.0]),
                  event("kernel::of_the_device", 33, [7.0], CUDA),
                  event(torch_phases._MARK, 40), event("aten::_local_scalar", 50, [1.0])]
        session = types.SimpleNamespace(device=torch.device("cuda", 0), names_modules=False)
        made = mock.MagicMock()
        made.__enter__.return_value.events.return_value = events

        def steps(session, count, mark):
            mark("forward")
            mark("backward")

        with mock.patch.multiple(torch_phases, do_steps=steps), \
                mock.patch.object(torch_phases.libraries, "profiled", lambda _: []), \
                mock.patch.object(torch_phases.libraries, "synchronize", lambda _: None), \
                mock.patch.object(torch.profiler, "profile", lambda **_: made):
            profile = torch_phases.Profile(session, 16, 1000)
        self.assertEqual(profile.launches, {"cuda:0": 6})
        found = [(op["op"], op["phase"], op["launches"], op["ns"]) for op in profile.in_order()]
        self.assertEqual(sorted(found), [("aten::addmm", "forward", 2, 10000),
                                         ("aten::mm", "backward", 4, 10000)])

    def test_ops_of_the_cpu_are_scaled_to_steps_that_nobody_watched(self):
        """Watched, 8 steps took 4 us; unwatched, 16 took as long: the ops half as long."""
        op = event("aten::mm", 11)
        op.self_cpu_time_total = 3.0
        outer = event("aten::linear", 10)  # whose parts end later than it does, by their clocks
        outer.self_cpu_time_total = -1.0
        made = mock.MagicMock()
        made.__enter__.return_value.events.return_value = [outer, op,
                                                           event(torch_phases._MARK, 20)]
        session = types.SimpleNamespace(device=torch.device("cpu"), names_modules=False)
        with mock.patch.multiple(torch_phases, do_steps=lambda *given: given[2]("forward")), \
                mock.patch.object(torch_phases.libraries, "profiled", lambda _: []), \
                mock.patch.object(torch_phases.time, "monotonic_ns", side_effect=[1000, 5000]), \
                mock.patch.object(torch.profiler, "profile", lambda **_: made):
            profile = torch_phases.Profile(session, 16, 4000)
        self.assertEqual([(found["launches"], found["ns"]) for found in profile.in_order()],
                         [(2, 3000), (2, 0)])


if __name__ == "__main__":
    unittest.main()
