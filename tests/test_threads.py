"""Tests of the program where OpenMP gives fewer threads, and of settings that are printed."""
import json
import unittest

from cli_support import SMALL, FolderTest, read_safetensors

FEW = [{"OMP_THREAD_LIMIT": "1"}, {"OMP_MAX_ACTIVE_LEVELS": "0"}]
TRAIN = ["train", "mlp-mnist", "--steps", "20", "--synthetic", "--limit", "2000", "--quiet"]


class FewThreadsTest(FolderTest):
    def trained(self, name, *options, env=None):
        """Train, evaluate and dump: the weights, the records, and the values of a step."""
        weights, values = self.path(name + ".safetensors"), self.path(name + "-step.safetensors")
        records = [self.good(*TRAIN, "--export", weights, "-f", "json", *options, env=env),
                   self.good("eval", "mlp-mnist", "--weights", weights, "-f", "json", *SMALL,
                             *options, env=env)]
        self.good("dump", "mlp-mnist", "-o", values, *SMALL, *options, env=env)
        return read_safetensors(weights), [json.loads(r)[0] for r in records], values

    def test_results_are_those_of_as_many_threads(self):
        weights, records, values = self.trained("honest", "--threads", "1")
        with open(values, "rb") as file:
            step = file.read()
        for i, env in enumerate(FEW):
            with self.subTest(env=env):
                found, told, values = self.trained(f"few{i}", env=env)
                self.assertEqual(found, weights)
                self.assertEqual([r["threads"] for r in told], [1, 1])
                self.assertEqual([r["precision"] for r in told], ["fp32", "fp32"])
                self.assertEqual(told[1]["loss"], records[1]["loss"])
                with open(values, "rb") as file:
                    self.assertEqual(file.read(), step)

    def test_dynamic_teams_are_whole(self):
        weights = self.trained("honest", "--threads", "2")[0]
        found, records, _ = self.trained("dynamic", "--threads", "2", env={"OMP_DYNAMIC": "true"})
        self.assertEqual(found, weights)
        self.assertEqual([r["threads"] for r in records], [2, 2])

    def test_more_than_there_can_be_is_refused_before_training(self):
        for command in [TRAIN, ["parity", "mlp-mnist", "--engine", "native", *SMALL],
                        ["dump", "mlp-mnist", "-o", self.path("step"), *SMALL]]:
            with self.subTest(command=command):
                result = self.bad(3, *command, "--threads", "2", env=FEW[0],
                                  says=["expected 2 threads, but OpenMP's limit is 1",
                                        "OMP_THREAD_LIMIT", "ask for 1 thread"])
                self.assertEqual(result.stdout, "")


class SettingsTest(FolderTest):
    def test_a_learning_rate_is_printed_as_it_was_written(self):
        for text, arguments in (("0.03", [*TRAIN, "--lr", "0.03"]), ("0.01", TRAIN),
                                ("0.01", ["workloads"])):
            with self.subTest(arguments=arguments):
                self.assertRegex(self.good(*arguments, "-f", "json"),
                                 rf'"learning_rate": {text}[,\s]')


if __name__ == "__main__":
    unittest.main()
