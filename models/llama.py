"""A decoder of the Llama type (Touvron et al., 2023) with its cache of keys and values outside.

One graph fills the cache from a prompt (past length 0) and decodes token by token.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nfcompile.models.network import Network, seeded, transformers

__all__ = ["Llama", "llama", "small_llama"]


class Llama(nn.Module):
    """The decoder as a function of tokens and cache."""

    def __init__(self, config: Any) -> None:
        """Makes the decoder of a `transformers.LlamaConfig`."""
        super().__init__()
        self.model = transformers().LlamaForCausalLM(config)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        past_keys: Sequence[Tensor],
        past_values: Sequence[Tensor],
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Logits and the longer cache.

        Args:
            input_ids: Int64 `[N, tokens]`.
            attention_mask: Int64 `[N, past + tokens]`, 0 at padding.
            past_keys: Per layer float32 `[N, heads, past, width]`; past may be 0.
            past_values: The same.

        Returns:
            Logits `[N, tokens, vocabulary]`, keys and values of length past + tokens.
        """
        past = list(zip(past_keys, past_values, strict=True))
        cache = transformers().DynamicCache(past)
        made = self.model(input_ids, attention_mask, cache=cache, use_cache=True)
        layers = made.cache.layers
        return made.logits, [layer.keys for layer in layers], [layer.values for layer in layers]


def llama(
    *,
    layers: int,
    hidden: int,
    heads: int,
    key_value_heads: int,
    intermediate: int,
    vocabulary: int,
    tied: bool = False,
    tokens: int = 8,
    past: int = 5,
    seed: int = 0,
) -> Network:
    """A decoder whose batch, number of tokens and length of the past may vary.

    Args:
        layers: Number of layers.
        hidden: Width between layers.
        heads: Heads of the queries, which divide `hidden`.
        key_value_heads: Heads of keys and values, which divide `heads`.
        intermediate: Width of the feed-forward parts.
        vocabulary: Number of token ids.
        tied: Whether the head's weight is that of the embedding.
        tokens: Of the example inputs.
        past: Length of the cache in the example inputs.
        seed: Of weights and example inputs.

    Raises:
        EngineMissingError: If transformers is not installed.
    """
    config = transformers().LlamaConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        intermediate_size=intermediate,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
        attn_implementation="eager",
    )
    generator = torch.Generator().manual_seed(seed)
    shape = 2, key_value_heads, past, hidden // heads
    caches = [
        [torch.randn(shape, generator=generator) for _ in range(layers)] for _ in ("keys", "values")
    ]
    inputs = {
        "input_ids": torch.randint(vocabulary, (2, tokens), generator=generator),
        "attention_mask": torch.ones((2, past + tokens), dtype=torch.int64),
        "past_keys": caches[0],
        "past_values": caches[1],
    }
    shapes = {
        "input_ids": {0: "batch", 1: "tokens"},
        "attention_mask": {0: "batch", 1: "past + tokens"},
        "past_keys": [{0: "batch", 2: "past"}] * layers,
        "past_values": [{0: "batch", 2: "past"}] * layers,
    }
    return Network(seeded(lambda: Llama(config), seed), inputs, shapes)


def small_llama() -> Network:
    """Eight layers of 512, 8 heads over 4 of keys and values, 32,000 tokens, a tied head."""
    return llama(
        layers=8, hidden=512, heads=8, key_value_heads=4, intermediate=1408,
        vocabulary=32_000, tied=True,
    )  # fmt: skip
