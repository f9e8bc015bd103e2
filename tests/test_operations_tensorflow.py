"""Operations alone in TensorFlow, whose layouts are its own: what flows forth and back."""
import unittest

from test_operations_program import ParityTest


class Operations(ParityTest):
    def test_tensorflow_computes_them(self):
        for operation in ("op:matmul", "op:bmm", "op:attention", "op:conv2d", "op:gelu",
                          "op:copy", "op:resize", "op:augment"):
            with self.subTest(operation):
                self.check_parity(operation, "tensorflow")
        self.check_parity("op:matmul", "tensorflow", "--m", "5", "--n", "20", "--k", "20")


if __name__ == "__main__":
    unittest.main()
