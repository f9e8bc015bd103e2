"""Operations alone in TensorFlow, whose layouts are its own: what flows forth and back."""
import unittest

from test_operations_program import ParityTest


class Operations(ParityTest):
    def test_tensorflow_computes_them(self):
        for operation in ("op:matmul", "op:attention", "op:conv2d", "op:gelu"):
            with self.subTest(operation):
                self.check_parity(operation, "tensorflow")


if __name__ == "__main__":
    unittest.main()
