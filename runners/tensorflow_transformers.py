"""The Transformers as functional Keras models.  The names of the layers are those of Hugging Face's
files for bert-base and gpt2, and of PyTorch's own modules for the encoder.

This file may know nothing of measuring.
"""
import keras
import numpy as np
import tensorflow as tf
from keras import ops

HIDDEN = -1e9  # added to a score that nobody may look at: its weight becomes 0


class Attention(keras.layers.Layer):
    """Of q, k and v [batch, T, width]; `bias` is added to the scores [batch, heads, T, T]."""

    def __init__(self, heads, name):
        super().__init__(name=name)
        self.heads = heads

    def call(self, q, k, v, bias):
        length, width = q.shape[1:]
        size = width // self.heads
        q, k, v = (tf.reshape(x, [-1, length, self.heads, size]) for x in (q, k, v))
        scores = tf.einsum("bqhs,bkhs->bhqk", q * size ** -0.5, k)
        # In float32 also under mixed precision.
        weights = tf.nn.softmax(tf.cast(scores, tf.float32) + tf.cast(bias, tf.float32))
        x = tf.einsum("bhqk,bkhs->bqhs", tf.cast(weights, v.dtype), v)
        return tf.reshape(x, [-1, length, width])


class PaddedEmbedding(keras.layers.Embedding):
    """Token 0 is padding: its row is read and gets no gradient."""

    def call(self, tokens):
        x = super().call(tokens)
        return tf.where((tokens == 0)[..., None], tf.stop_gradient(x), x)


class Positions(keras.layers.Embedding):
    """The rows of a text's places, the same for each text."""

    def call(self, tokens):
        return ops.cast(self.embeddings[:tokens.shape[1]], self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[1], self.output_dim)


class Conv1D(keras.layers.Dense):
    """GPT-2's linear layer: its weight lies as [in, out] in the files, as in Keras."""


class TiedHead(keras.layers.Layer):
    """Logits by the embedding of the tokens: it has no weight of its own."""

    def __init__(self, embedding):
        super().__init__(name="head")
        self.embedding = embedding

    def call(self, x):
        table = tf.cast(self.embedding.embeddings, x.dtype)
        logits = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), table, transpose_b=True)
        return tf.reshape(logits, [-1, x.shape[1], table.shape[0]])


def norm(x, name, epsilon=1e-5):
    return keras.layers.LayerNormalization(epsilon=epsilon, name=name)(x)


def dense(x, width, name, activation=None):
    return keras.layers.Dense(width, activation, name=name)(x)


def gelu_tanh(x):
    return keras.activations.gelu(x, approximate=True)


def gelu_erf(x):
    return keras.activations.gelu(x, approximate=False)


def real_tokens(lengths, count):
    """[batch, count]: true where a token is none of the padding."""
    return ops.greater(ops.expand_dims(lengths, 1), np.arange(count))


def hide_padding(real):
    """The bias of scores: no padding is looked at."""
    return ops.reshape(ops.where(real, 0.0, HIDDEN), (-1, 1, 1, real.shape[1]))


def encoder_layer(x, heads, bias, name):
    """As nn.TransformerEncoderLayer with norm_first; q, k and v are one product."""
    width = x.shape[-1]
    # The names of its weight and bias have no dot before them.
    qkv = dense(norm(x, name + ".norm1"), 3 * width, name + ".self_attn.in_proj_")
    attended = Attention(heads, name + ".self_attn")(*ops.split(qkv, 3, -1), bias)
    x = x + dense(attended, width, name + ".self_attn.out_proj")
    y = dense(norm(x, name + ".norm2"), 4 * width, name + ".linear1", gelu_erf)
    return x + dense(y, width, name + ".linear2")


def encoder(inputs, layers, width, heads, vocab):
    """A pre-norm Transformer encoder; the mean over its real tokens tells the class."""
    tokens, lengths = inputs
    real = real_tokens(lengths, tokens.shape[1])
    x = (keras.layers.Embedding(vocab, width, name="embedding")(tokens)
         + Positions(512, width, name="position")(tokens))
    bias = hide_padding(real)
    for index in range(layers):
        x = encoder_layer(x, heads, bias, f"encoder.layers.{index}")
    x = ops.cast(norm(x, "encoder.norm"), "float32")
    x = ops.sum(x * ops.expand_dims(ops.cast(real, "float32"), 2), 1)
    return dense(x / ops.expand_dims(ops.cast(lengths, "float32"), 1), 10, "head")


def bert_output(x, residual, name):
    """A linear layer, the residual, and the norm behind it."""
    x = dense(x, residual.shape[-1], name + ".dense")
    return norm(x + residual, name + ".LayerNorm", 1e-12)


def bert_layer(x, heads, bias, name):
    width = x.shape[-1]
    qkv = [dense(x, width, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
    attended = Attention(heads, name + ".attention.self")(*qkv, bias)
    x = bert_output(attended, x, name + ".attention.output")
    y = dense(x, 4 * width, name + ".intermediate.dense", gelu_erf)
    return bert_output(y, x, name + ".output")


def bert_base(inputs, layers, width, heads, vocab):
    """BERT (Devlin et al. 2018) with a head that tells which of two classes a pair has."""
    tokens, segments, lengths = inputs
    name = "bert.embeddings."
    x = (PaddedEmbedding(vocab, width, name=name + "word_embeddings")(tokens)
         + keras.layers.Embedding(2, width, name=name + "token_type_embeddings")(segments)
         + Positions(512, width, name=name + "position_embeddings")(tokens))
    x = norm(x, name + "LayerNorm", 1e-12)
    bias = hide_padding(real_tokens(lengths, tokens.shape[1]))
    for index in range(layers):
        x = bert_layer(x, heads, bias, f"bert.encoder.layer.{index}")
    pooled = dense(x[:, 0], width, "bert.pooler.dense", "tanh")
    return dense(pooled, 2, "classifier")


def gpt2_block(x, heads, bias, name):
    width = x.shape[-1]
    qkv = Conv1D(3 * width, name=name + ".attn.c_attn")(norm(x, name + ".ln_1"))
    attended = Attention(heads, name + ".attn")(*ops.split(qkv, 3, -1), bias)
    x = x + Conv1D(width, name=name + ".attn.c_proj")(attended)
    y = Conv1D(4 * width, gelu_tanh, name=name + ".mlp.c_fc")(norm(x, name + ".ln_2"))
    return x + Conv1D(width, name=name + ".mlp.c_proj")(y)


def gpt2(inputs, layers, width, heads, vocab):
    """GPT-2 (Radford et al. 2019); the head is the embedding of the tokens."""
    [tokens] = inputs
    embedding = keras.layers.Embedding(vocab, width, name="transformer.wte")
    x = embedding(tokens) + Positions(1024, width, name="transformer.wpe")(tokens)
    # Nobody looks at what follows.
    bias = np.triu(np.full([tokens.shape[1]] * 2, HIDDEN, dtype=np.float32), 1)
    for index in range(layers):
        x = gpt2_block(x, heads, bias, f"transformer.h.{index}")
    return TiedHead(embedding)(norm(x, "transformer.ln_f"))
