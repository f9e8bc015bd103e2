"""The Transformers as modules of MLX.  The names and layouts of the weights are those of Hugging
Face's files for gpt2, and of PyTorch's own modules for the encoder.

This file may know nothing of measuring.
"""
import math

import mlx.core as mx
import mlx.nn as nn

CLASSES = 10


def attend(qkv, heads, mask):
    """Attention of q, k and v, one behind the other in [batch, T, 3 · width]."""
    batch, length, width = qkv.shape
    size = width // 3 // heads
    q, k, v = (part.reshape(batch, length, heads, size).transpose(0, 2, 1, 3)
               for part in mx.split(qkv, 3, -1))
    x = mx.fast.scaled_dot_product_attention(q, k, v, scale=1 / math.sqrt(size), mask=mask)
    return x.transpose(0, 2, 1, 3).reshape(batch, length, -1)


class SelfAttention(nn.Module):
    """As nn.MultiheadAttention of PyTorch: q, k and v are one product."""

    def __init__(self, width, heads):
        super().__init__()
        bound = math.sqrt(1 / width)
        self.heads = heads
        self.in_proj_weight = mx.random.uniform(-bound, bound, (3 * width, width))
        self.in_proj_bias = mx.zeros((3 * width,))
        self.out_proj = nn.Linear(width, width)

    def __call__(self, x, mask):
        qkv = mx.addmm(self.in_proj_bias, x, self.in_proj_weight.T)
        return self.out_proj(attend(qkv, self.heads, mask))


class EncoderLayer(nn.Module):
    """As nn.TransformerEncoderLayer of PyTorch with norm_first."""

    def __init__(self, width, heads):
        super().__init__()
        self.self_attn = SelfAttention(width, heads)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def __call__(self, x, mask):
        x = x + self.self_attn(self.norm1(x), mask)
        return x + self.linear2(nn.gelu(self.linear1(self.norm2(x))))


class EncoderStack(nn.Module):
    def __init__(self, layers, width, heads):
        super().__init__()
        self.layers = [EncoderLayer(width, heads) for _ in range(layers)]
        self.norm = nn.LayerNorm(width)

    def __call__(self, x, mask):
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)


class Encoder(nn.Module):
    """A pre-norm Transformer encoder; the mean over its real tokens tells the class."""

    def __init__(self, layers, width, heads, vocab):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.position = nn.Embedding(512, width)
        self.encoder = EncoderStack(layers, width, heads)
        self.head = nn.Linear(width, CLASSES)

    def __call__(self, tokens, lengths):
        length = tokens.shape[1]
        real = mx.arange(length) < lengths[:, None]
        x = self.embedding(tokens) + self.position.weight[:length]
        x = self.encoder(x, real[:, None, None, :])
        return self.head((x * real[..., None]).sum(1) / lengths[:, None])


class Conv1D(nn.Module):
    """GPT-2's linear layer: its weight lies as [in, out]."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = mx.random.normal((inputs, outputs), scale=0.02)
        self.bias = mx.zeros((outputs,))

    def __call__(self, x):
        return mx.addmm(self.bias, x, self.weight)


class Gpt2Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn = Conv1D(width, 3 * width)
        self.c_proj = Conv1D(width, width)

    def __call__(self, x):
        return self.c_proj(attend(self.c_attn(x), self.heads, "causal"))


class Gpt2Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc = Conv1D(width, 4 * width)
        self.c_proj = Conv1D(4 * width, width)

    def __call__(self, x):
        return self.c_proj(nn.gelu_approx(self.c_fc(x)))


class Gpt2Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Gpt2Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = Gpt2Mlp(width)

    def __call__(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt2Model(nn.Module):
    def __init__(self, layers, width, heads, vocab):
        super().__init__()
        self.wte = nn.Embedding(vocab, width)
        self.wpe = nn.Embedding(1024, width)
        self.h = [Gpt2Block(width, heads) for _ in range(layers)]
        self.ln_f = nn.LayerNorm(width)

    def __call__(self, tokens):
        x = self.wte(tokens) + self.wpe.weight[:tokens.shape[1]]
        for block in self.h:
            x = block(x)
        return self.ln_f(x)


class Gpt2(nn.Module):
    """GPT-2 (Radford et al. 2019); the head is the embedding of the tokens."""

    def __init__(self, layers, width, heads, vocab):
        super().__init__()
        self.transformer = Gpt2Model(layers, width, heads, vocab)

    def __call__(self, tokens):
        return self.transformer.wte.as_linear(self.transformer(tokens))
