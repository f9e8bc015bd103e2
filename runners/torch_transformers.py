"""The Transformers, as ordinary PyTorch modules.  The names and layouts of the weights are those of
Hugging Face's files for bert-base, gpt2 and clip, and of PyTorch's own modules for the encoder.

This file may know nothing of measuring.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn


def attend(q, k, v, mask=None, causal=False):
    """Attention over [batch, heads, T, size]; `mask` is true where a key may be looked at."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    # PyTorch before 2.0 has it under no public name.
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(-1) @ v


def split_heads(x, heads):
    """[batch, T, width] to [batch, heads, T, width / heads]."""
    return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def join_heads(x):
    return x.transpose(1, 2).flatten(2)


def real_tokens(lengths, count):
    """[batch, count]: true where a token is none of the padding."""
    return torch.arange(count, device=lengths.device) < lengths[:, None]


class Encoder(nn.Module):
    """A pre-norm Transformer encoder; the mean over its real tokens tells the class."""

    classes = 10

    def __init__(self, layers, width, heads, vocab):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.position = nn.Embedding(512, width)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu",
                                           batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width),
                                             enable_nested_tensor=False)
        self.head = nn.Linear(width, self.classes)

    def forward(self, tokens, lengths):
        real = real_tokens(lengths, tokens.shape[1])
        x = self.embedding(tokens) + self.position.weight[:tokens.shape[1]]
        x = self.encoder(x, src_key_padding_mask=~real)
        x = (x * real[..., None]).sum(1) / lengths[:, None]
        return self.head(x)

    def loss(self, logits, labels):
        return F.cross_entropy(logits, labels)


class BertEmbeddings(nn.Module):
    def __init__(self, width, vocab):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab, width, padding_idx=0)
        self.position_embeddings = nn.Embedding(512, width)
        self.token_type_embeddings = nn.Embedding(2, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, tokens, segments):
        x = self.word_embeddings(tokens) + self.token_type_embeddings(segments)
        return self.LayerNorm(x + self.position_embeddings.weight[:tokens.shape[1]])


class BertSelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x, mask):
        q, k, v = (split_heads(layer(x), self.heads)
                   for layer in (self.query, self.key, self.value))
        return join_heads(attend(q, k, v, mask))


class BertOutput(nn.Module):
    """A linear layer, the residual, and the norm behind it."""

    def __init__(self, inputs, width):
        super().__init__()
        self.dense = nn.Linear(inputs, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, residual):
        return self.LayerNorm(self.dense(x) + residual)


class BertAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.self = BertSelfAttention(width, heads)
        self.output = BertOutput(width, width)

    def forward(self, x, mask):
        return self.output(self.self(x, mask), x)


class BertIntermediate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.dense = nn.Linear(width, 4 * width)

    def forward(self, x):
        return F.gelu(self.dense(x))


class BertLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attention = BertAttention(width, heads)
        self.intermediate = BertIntermediate(width)
        self.output = BertOutput(4 * width, width)

    def forward(self, x, mask):
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class BertEncoder(nn.Module):
    def __init__(self, layers, width, heads):
        super().__init__()
        self.layer = nn.ModuleList(BertLayer(width, heads) for _ in range(layers))

    def forward(self, x, mask):
        for layer in self.layer:
            x = layer(x, mask)
        return x


class BertPooler(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, x):
        return torch.tanh(self.dense(x[:, 0]))


class BertModel(nn.Module):
    def __init__(self, layers, width, heads, vocab):
        super().__init__()
        self.embeddings = BertEmbeddings(width, vocab)
        self.encoder = BertEncoder(layers, width, heads)
        self.pooler = BertPooler(width)

    def forward(self, tokens, segments, lengths):
        mask = real_tokens(lengths, tokens.shape[1])[:, None, None, :]
        return self.pooler(self.encoder(self.embeddings(tokens, segments), mask))


class BertBase(nn.Module):
    """BERT (Devlin et al. 2018) with a head that tells which of two classes a pair has."""

    classes = 2

    def __init__(self, layers, width, heads, vocab):
        super().__init__()
        self.bert = BertModel(layers, width, heads, vocab)
        self.classifier = nn.Linear(width, self.classes)

    def forward(self, tokens, segments, lengths):
        return self.classifier(self.bert(tokens, segments, lengths))

    def loss(self, logits, labels):
        return F.cross_entropy(logits, labels)


class Conv1D(nn.Module):
    """GPT-2's linear layer: its weight lies as [in, out]."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x):
        y = torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight)
        return y.view(*x.shape[:-1], -1)


class Gpt2Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn = Conv1D(width, 3 * width)
        self.c_proj = Conv1D(width, width)

    def forward(self, x):
        q, k, v = (split_heads(part, self.heads) for part in self.c_attn(x).chunk(3, -1))
        return self.c_proj(join_heads(attend(q, k, v, causal=True)))


class Gpt2Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc = Conv1D(width, 4 * width)
        self.c_proj = Conv1D(4 * width, width)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Gpt2Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Gpt2Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = Gpt2Mlp(width)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt2Model(nn.Module):
    def __init__(self, layers, width, heads, vocab):
        super().__init__()
        self.wte = nn.Embedding(vocab, width)
        self.wpe = nn.Embedding(1024, width)
        self.h = nn.ModuleList(Gpt2Block(width, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe.weight[:tokens.shape[1]]
        for block in self.h:
            x = block(x)
        return self.ln_f(x)


class Gpt2(nn.Module):
    """GPT-2 (Radford et al. 2019); the head is the embedding of the tokens."""

    def __init__(self, layers, width, heads, vocab):
        super().__init__()
        self.transformer = Gpt2Model(layers, width, heads, vocab)

    def forward(self, tokens):
        return F.linear(self.transformer(tokens), self.transformer.wte.weight)

    def loss(self, logits, targets):
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


class ClipAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x, causal):
        q, k, v = (split_heads(layer(x), self.heads)
                   for layer in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(join_heads(attend(q, k, v, causal=causal)))


class ClipMlp(nn.Module):
    def __init__(self, width, activation):
        super().__init__()
        self.activation = activation
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(self.activation(self.fc1(x)))


class ClipLayer(nn.Module):
    def __init__(self, width, heads, activation):
        super().__init__()
        self.self_attn = ClipAttention(width, heads)
        self.layer_norm1 = nn.LayerNorm(width)
        self.mlp = ClipMlp(width, activation)
        self.layer_norm2 = nn.LayerNorm(width)

    def forward(self, x, causal):
        x = x + self.self_attn(self.layer_norm1(x), causal)
        return x + self.mlp(self.layer_norm2(x))


class ClipEncoder(nn.Module):
    def __init__(self, layers, width, heads, activation):
        super().__init__()
        self.layers = nn.ModuleList(ClipLayer(width, heads, activation) for _ in range(layers))

    def forward(self, x, causal):
        for layer in self.layers:
            x = layer(x, causal)
        return x


class ClipTextEmbeddings(nn.Module):
    def __init__(self, width, seq, vocab):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab, width)
        self.position_embedding = nn.Embedding(seq, width)

    def forward(self, tokens):
        return self.token_embedding(tokens) + self.position_embedding.weight


class ClipText(nn.Module):
    """The feature of a caption is the output at its end-of-text token, the vocabulary's last."""

    def __init__(self, size, vocab, activation):
        super().__init__()
        self.end = vocab - 1
        self.embeddings = ClipTextEmbeddings(size["width"], size["seq"], vocab)
        self.encoder = ClipEncoder(size["layers"], size["width"], size["heads"], activation)
        self.final_layer_norm = nn.LayerNorm(size["width"])

    def forward(self, tokens):
        x = self.final_layer_norm(self.encoder(self.embeddings(tokens), True))
        end = (tokens == self.end).int().argmax(-1)
        return x[torch.arange(len(tokens), device=tokens.device), end]


class ClipVisionEmbeddings(nn.Module):
    def __init__(self, width, patch, size):
        super().__init__()
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.patch_embedding = nn.Conv2d(3, width, patch, patch, bias=False)
        self.position_embedding = nn.Embedding((size // patch) ** 2 + 1, width)

    def forward(self, images):
        patches = self.patch_embedding(images).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(images), 1, -1)
        return torch.cat((first, patches), 1) + self.position_embedding.weight


class ClipVision(nn.Module):
    """The feature of a picture is the output at its class token."""

    def __init__(self, size, patch, pixels, activation):
        super().__init__()
        self.embeddings = ClipVisionEmbeddings(size["width"], patch, pixels)
        self.pre_layrnorm = nn.LayerNorm(size["width"])  # so it is spelled in the files
        self.encoder = ClipEncoder(size["layers"], size["width"], size["heads"], activation)
        self.post_layernorm = nn.LayerNorm(size["width"])

    def forward(self, images):
        x = self.encoder(self.pre_layrnorm(self.embeddings(images)), False)
        return self.post_layernorm(x[:, 0])


class ClipBase(nn.Module):
    """CLIP (Radford et al. 2021): logits [pictures, captions] of a batch of pairs."""

    def __init__(self, vision, text, patch, width, activation):
        """`vision`, `text`: layers, width and heads of each tower, and size and seq, vocab."""
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.text_model = ClipText(text, text["vocab"], activation)
        self.vision_model = ClipVision(vision, patch, vision["size"], activation)
        self.visual_projection = nn.Linear(vision["width"], width, bias=False)
        self.text_projection = nn.Linear(text["width"], width, bias=False)

    def forward(self, images, tokens):
        image = self.visual_projection(self.vision_model(images))
        text = self.text_projection(self.text_model(tokens))
        image = image / image.norm(dim=-1, keepdim=True)
        text = text / text.norm(dim=-1, keepdim=True)
        image, text = self.gather(image), self.gather(text)
        return image @ text.t() * self.logit_scale.clamp(max=math.log(100)).exp()

    def gather(self, features):
        """Of the whole batch; one of several workers gathers them (torch_group.py)."""
        return features

    def loss(self, logits):
        target = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target)) / 2


class Clip(ClipBase):
    def __init__(self, layers, width, heads, seq, size, vocab):
        tower = {"layers": layers, "width": width, "heads": heads}
        super().__init__({**tower, "size": size}, {**tower, "seq": seq, "vocab": vocab}, 16, width,
                         F.gelu)


class ClipB16(ClipBase):
    def __init__(self, layers, seq, size, vocab):
        super().__init__({"layers": layers, "width": 768, "heads": 12, "size": size},
                         {"layers": layers, "width": 512, "heads": 8, "seq": seq, "vocab": vocab},
                         16, 512, quick_gelu)


class ClipL14(ClipBase):
    def __init__(self, layers, seq, size, vocab):
        super().__init__({"layers": layers, "width": 1024, "heads": 16, "size": size},
                         {"layers": min(layers, 12), "width": 768, "heads": 12, "seq": seq,
                          "vocab": vocab}, 14, 768, quick_gelu)
